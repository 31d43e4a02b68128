// Low-rank changes as they come out of the weight manager, applied by the backend and compared with the
// change written out in double precision.
#include <catch2/catch.hpp>
#include <cmath>

#include "tests/kernels/test_sets.h"
#include "tests/weights/manager_fixture.h"
#include "weights/product_layout.h"
#include "weights/product_numbers.h"

namespace guildhall {
namespace {

constexpr uint64_t kSeed = 3;
constexpr int64_t kRows = 5;

float Input(int64_t row, int64_t column) {
  return TinyValue(99, {WeightRole::kInputNorm}, 0, row, column);
}

// s B A of a change, one element; gains apart.
double Delta(const LowRankChange& change, int64_t out, int64_t in) {
  double sum = 0.0;
  for (int64_t k = 0; k < change.rank; ++k) {
    sum += double{TinyValue(kSeed, change.key, 2, out, k)} * double{TinyValue(kSeed, change.key, 1, k, in)};
  }
  return sum * double{change.scale};
}

double Gain(const LowRankChange& change, int64_t out) {
  return change.dora ? 1.0 + double{TinyValue(kSeed, change.key, 3, out, 0)} / 4.0 : 1.0;
}

// A base matrix of one value per element, packed.
struct Base {
  Base(int64_t out, int64_t in) {
    std::vector<std::byte> plain;
    const TensorView view = TinyTensor(kSeed, {WeightRole::kRouter}, 7, DType::kF32, out, in, plain);
    packed = PackOnDevice(FixtureBackend(), PackShape::Stack(WeightFormat::kF32, out, in), {&view, 1});
  }
  static double At(int64_t out, int64_t in) {
    return double{TinyValue(kSeed, {WeightRole::kRouter}, 7, out, in)};
  }

  PackedWeights packed;
};

// The fixture's back end, which holds the weights, ready for steps.
Backend& Prepared() {
  static Backend& backend = []() -> Backend& {
    StepLimits limits;
    limits.max_rows = limits.max_entries = 16;
    limits.max_width = limits.max_ffn_width = 128;
    limits.hidden = 32;
    limits.max_heads = 2;
    limits.max_experts = 4;
    GH_CHECK(FixtureBackend().Prepare(limits).ok());
    return FixtureBackend();
  }();
  return backend;
}

// One set with one product, for all rows: the changes of its heads, or its only one.
class OneSet {
 public:
  OneSet(std::vector<const LowRankPlan*> plans, int64_t columns, int64_t entries)
      : workspace_(FilledOnDevice(Prepared(), columns * entries, 0.0f)), stride_(columns) {
    LowRankDescriber describer;
    describer.Add(0, std::move(plans));
    descriptors_ = describer.Build(Prepared().memory()).value();
    sets_ = std::make_unique<TestSets>(Prepared(), std::vector<std::vector<std::vector<LowRankTerm>>>{
                                                       {{{descriptors_.changes[0].change, 1.0f}}}});
  }
  LowRankRows Rows() {
    return {.rows = sets_->Begin(std::vector<int32_t>(kRows, 0)),
            .product = 0,
            .workspace = workspace_.data(),
            .stride = stride_};
  }

 private:
  LowRankDescriptors descriptors_;
  std::unique_ptr<TestSets> sets_;
  DeviceArray<float> workspace_;
  int64_t stride_;
};

std::vector<float> Inputs(int64_t in) {
  std::vector<float> x(static_cast<size_t>(kRows * in));
  for (int64_t r = 0; r < kRows; ++r) {
    for (int64_t c = 0; c < in; ++c) x[static_cast<size_t>(r * in + c)] = Input(r, c);
  }
  return x;
}

// y of one product with one adapter's change.
std::vector<float> Multiply(const LowRankPlan& change, int64_t out, int64_t in) {
  const Base base(out, in);
  OneSet set({&change}, FixtureBackend().LowRankColumns(change.a.out), kRows);
  const auto x = OnDevice(Prepared(), Inputs(in)), y = FilledOnDevice(Prepared(), kRows * out, 0.0f);
  MatMulArgs args{
      .x = x.data(), .w = base.packed.matrix, .y = y.data(), .rows = kRows, .x_stride = in, .y_stride = out};
  args.low_rank = set.Rows();
  Prepared().MatMul(args);
  return y.Read();
}

// Gate (0) or up (1) of a network's first product, as a product of its own.
LowRankPlan ModuleOf(LowRankPlan gate_up, int32_t module) {
  std::erase_if(gate_up.parts, [&](const LowRankPart& part) { return part.module != module; });
  for (LowRankPart& part : gate_up.parts) part.module = 0;
  return gate_up;
}

struct Placed {
  LowRankChange change;
  int64_t out_begin;
};

void CheckProduct(const LowRankPlan& low_rank, const std::vector<Placed>& changes, int64_t out, int64_t in) {
  const std::vector<float> y = Multiply(low_rank, out, in);
  for (int64_t r = 0; r < kRows; ++r) {
    for (int64_t o = 0; o < out; ++o) {
      double expected = 0.0;
      for (int64_t i = 0; i < in; ++i) {
        double w = Base::At(o, i);
        for (const auto& [change, begin] : changes) {
          if (o < begin || o >= begin + change.out) continue;
          w = w * Gain(change, o - begin) + Delta(change, o - begin, i);
        }
        expected += double{Input(r, i)} * w;
      }
      REQUIRE(y[static_cast<size_t>(r * out + o)] == Approx(expected).epsilon(1e-4).margin(1e-3));
    }
  }
}

TEST_CASE("q, k and v of mixed ranks, factors and dtypes in one product") {
  ManagerFixture f;
  const auto q = TinyChange(f.spec, {WeightRole::kQ, 1}, 17, 0.25f);
  const auto v = TinyChange(f.spec, {WeightRole::kV, 1}, 3, 2.0f, DType::kF32);
  const auto k = TinyChange(f.spec, {WeightRole::kK, 2}, 1, 1.0f);
  REQUIRE(f.Load("a", LoraManifest({v, q, k}), kSeed).ok());
  const auto set = f.Acquire("a").value();
  const auto& layers = set->members[0].weights->layers;
  const LowRankPlan& qv = layers[1].products[0];
  CHECK(qv.a.format == WeightFormat::kF32);
  CHECK(qv.parts[0].dtype == DType::kBF16);
  CHECK(qv.parts[1].rank_begin == 17);
  CHECK(set->rank_columns == Columns(17 + 3));
  CheckProduct(qv, {{q, 0}, {v, 48}}, 64, 32);
  CHECK(layers[2].products[0].a.format == WeightFormat::kBF16);
  CHECK(layers[0].products[0].empty());
}

TEST_CASE("A rank larger than the weight is served like any other") {
  ManagerFixture f;
  const auto o = TinyChange(f.spec, {WeightRole::kO, 0}, 150, 0.125f);
  REQUIRE(f.Load("a", LoraManifest({o}), kSeed).ok());
  const auto set = f.Acquire("a").value();
  CHECK(set->rank_columns == Columns(150));
  CheckProduct(set->members[0].weights->layers[0].products[static_cast<size_t>(Product::kO)], {{o, 0}}, 32,
               32);
}

TEST_CASE("DoRA scales its own outputs, and the others of the product not at all") {
  ManagerFixture f;
  const auto k = TinyChange(f.spec, {WeightRole::kK, 1}, 4, 0.5f, DType::kBF16, true);
  const auto v = TinyChange(f.spec, {WeightRole::kV, 1}, 2, 0.5f, DType::kBF16, false);
  REQUIRE(f.Load("a", LoraManifest({k, v}), kSeed).ok());
  const auto set = f.Acquire("a").value();
  const LowRankPlan& change = set->members[0].weights->layers[1].products[0];
  CHECK(change.parts[0].dtype == DType::kF32);
  CHECK(change.parts[1].dtype == DType::kBF16);
  CheckProduct(change, {{k, 32}, {v, 48}}, 64, 32);
}

TEST_CASE(
    "Feed-forward networks: gate and up in one product, down in another, for experts, shared and dense") {
  ManagerFixture f;
  const auto up = TinyChange(f.spec, {WeightRole::kExpertUp, 1, 2}, 5);
  const auto down = TinyChange(f.spec, {WeightRole::kExpertDown, 2, 3}, 6);
  const auto gate = TinyChange(f.spec, {WeightRole::kSharedGate, 1}, 7);
  const auto shared_up = TinyChange(f.spec, {WeightRole::kSharedUp, 1}, 2);
  const auto dense = TinyChange(f.spec, {WeightRole::kDown, 0}, 9);
  REQUIRE(f.Load("a", LoraManifest({up, down, gate, shared_up, dense}), kSeed).ok());
  const auto set = f.Acquire("a").value();
  const auto& layers = set->members[0].weights->layers;
  REQUIRE(layers[1].experts_low_rank.size() == 4);
  CHECK(layers[1].experts_low_rank[0].empty());
  CHECK(layers[1].experts_low_rank[2].down.empty());
  CHECK(layers[1].experts_low_rank[2].gate_up.parts[0].module == 1);
  CheckProduct(ModuleOf(layers[1].experts_low_rank[2].gate_up, 1), {{up, 0}}, 24, 32);
  CheckProduct(layers[2].experts_low_rank[3].down, {{down, 0}}, 32, 24);
  CheckProduct(ModuleOf(layers[1].shared_low_rank.gate_up, 0), {{gate, 0}}, 40, 32);
  CheckProduct(ModuleOf(layers[1].shared_low_rank.gate_up, 1), {{shared_up, 0}}, 40, 32);
  CheckProduct(layers[0].dense_low_rank.down, {{dense, 0}}, 32, 48);
  CHECK(set->products[static_cast<size_t>(ProductNumber(1, Product::kExpertGateUp))].size() == 1);
  CHECK_FALSE(set->Changes(ProductNumber(1, Product::kExpertDown)));
  CHECK(set->Changes(ProductNumber(0, Product::kDenseDown)));
}

TEST_CASE("The head, and the embedding by token") {
  ManagerFixture f;
  const auto head = TinyChange(f.spec, {WeightRole::kHead}, 4);
  const auto embedding = TinyChange(f.spec, {WeightRole::kEmbedding}, 3, 1.5f);
  REQUIRE(f.Load("a", LoraManifest({head, embedding}), kSeed).ok());
  const auto set = f.Acquire("a").value();
  CheckProduct(set->members[0].weights->head, {{head, 0}}, 50, 32);

  std::vector<std::byte> table;
  TinyTensor(kSeed, {WeightRole::kRouter}, 7, DType::kF32, 50, 32, table);
  const std::vector<int32_t> tokens{0, 49, 7, 7, 31};
  OneSet changed({&set->members[0].weights->embedding}, set->rank_columns, kRows);
  const auto tokens_there = OnDevice(Prepared(), tokens);
  const auto table_there = OnDevice(Prepared(), table);
  const auto place = FilledOnDevice(Prepared(), kRows * 32, 0.0f);
  EmbedArgs args{tokens_there.data(), table_there.data(), DType::kF32, place.data(), kRows, 32};
  args.low_rank = changed.Rows();
  Prepared().Embed(args);
  const auto y = place.Read();
  for (int64_t r = 0; r < kRows; ++r) {
    for (int64_t h = 0; h < 32; ++h) {
      const double expected =
          Base::At(tokens[static_cast<size_t>(r)], h) + Delta(embedding, h, tokens[static_cast<size_t>(r)]);
      REQUIRE(y[static_cast<size_t>(r * 32 + h)] == Approx(expected).epsilon(1e-4).margin(1e-3));
    }
  }
}

// y[head] = W[head] x[head] with a change per head, which is part of `kv_b`: row(head, out, in) and
// column(out, in) tell which.
template <typename RowOf, typename ColumnOf>
void CheckHeads(const std::vector<LowRankPlan>& change, const LowRankChange& kv_b, int64_t out, int64_t in,
                RowOf row, ColumnOf column) {
  const Base base(out, in);
  const auto heads = static_cast<int64_t>(change.size());
  std::vector<const LowRankPlan*> plans;
  for (const LowRankPlan& plan : change) plans.push_back(&plan);
  OneSet set(plans, FixtureBackend().LowRankColumns(change[0].a.out), kRows * heads);
  const auto x = OnDevice(Prepared(), Inputs(heads * in));
  const auto place = FilledOnDevice(Prepared(), kRows * heads * out, 0.0f);
  HeadMatMulArgs args{
      x.data(), {base.packed.matrix, heads, 0}, place.data(), kRows, heads * in, in, heads * out, out};
  args.low_rank = set.Rows();
  Prepared().HeadMatMul(args);
  const auto y = place.Read();
  for (int64_t r = 0; r < kRows; ++r) {
    for (int64_t h = 0; h < heads; ++h) {
      for (int64_t o = 0; o < out; ++o) {
        double expected = 0.0;
        for (int64_t i = 0; i < in; ++i) {
          const double w =
              Base::At(o, i) * Gain(kv_b, row(h, o, i)) + Delta(kv_b, row(h, o, i), column(o, i));
          expected += double{Input(r, h * in + i)} * w;
        }
        REQUIRE(y[static_cast<size_t>((r * heads + h) * out + o)] ==
                Approx(expected).epsilon(1e-4).margin(1e-3));
      }
    }
  }
}

TEST_CASE("kv_b's change, absorbed by head: keys transposed, values as they are") {
  ManagerFixture f(uint64_t{64} << 20, {}, true);
  const DType dtype = GENERATE(DType::kBF16, DType::kF32);
  const bool dora = GENERATE(false, true);
  const auto kv_b = TinyChange(f.spec, {WeightRole::kKvB, 1}, 5, 0.75f, dtype, dora);
  REQUIRE(f.Load("a", LoraManifest({kv_b}), kSeed).ok());
  const auto set = f.Acquire("a").value();
  const LayerAdapter& layer = set->members[0].weights->layers[1];
  // A head has 12 rows of keys and 14 of values; the latent space is 18 wide.
  CheckHeads(
      layer.k_up, kv_b, 18, 12, [](int64_t h, int64_t, int64_t i) { return h * 26 + i; },
      [](int64_t o, int64_t) { return o; });
  CheckHeads(
      layer.v_up, kv_b, 14, 18, [](int64_t h, int64_t o, int64_t) { return h * 26 + 12 + o; },
      [](int64_t, int64_t i) { return i; });
}

TEST_CASE("Latent attention's other projections") {
  ManagerFixture f(uint64_t{64} << 20, {}, true);
  const auto q_a = TinyChange(f.spec, {WeightRole::kQA, 1}, 4);
  const auto kv_a = TinyChange(f.spec, {WeightRole::kKvA, 1}, 5);
  const auto q_b = TinyChange(f.spec, {WeightRole::kQB, 1}, 6);
  REQUIRE(f.Load("a", LoraManifest({q_a, q_b, kv_a}), kSeed).ok());
  const auto set = f.Acquire("a").value();
  const auto& products = set->members[0].weights->layers[1].products;
  CheckProduct(products[static_cast<size_t>(Product::kQkv)], {{q_a, 0}, {kv_a, 20}}, 46, 32);
  CheckProduct(products[static_cast<size_t>(Product::kQB)], {{q_b, 0}}, 40, 20);
}

TEST_CASE("Experts in fp32, or with gate and up of different dtypes, keep every bit") {
  ManagerFixture f;
  REQUIRE(f.Load("a", EsftManifest({{1, 2}}, DType::kF32), kSeed).ok());
  const auto set = f.Acquire("a").value();
  CHECK(HoldsExpert(f.spec, set->members[0].weights->layers[1].replaced[0], kSeed, 1, 2, DType::kF32));
  AdapterManifest mixed = EsftManifest({{1, 2}});
  mixed.replaced[0].up = DType::kF32;
  mixed.replaced[0].down = DType::kF32;
  REQUIRE(f.Load("b", mixed, kSeed).ok());
  // The values are exact in BF16, so the same bytes are expected as from fp32.
  const auto other = f.Acquire("b").value();
  CHECK(HoldsExpert(f.spec, other->members[0].weights->layers[1].replaced[0], kSeed, 1, 2, DType::kF32));
}

}  // namespace
}  // namespace guildhall
