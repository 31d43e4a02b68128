#include "checkpoint/binding.h"

#include <algorithm>
#include <cstring>
#include <unordered_set>
#include <utility>
#include <vector>

#include "base/status.h"
#include "base/str_cat.h"
#include "checkpoint/weight_names.h"

namespace guildhall {
namespace {

std::string ShapeText(const std::vector<int64_t>& shape) {
  TensorView view;
  view.shape.assign(shape.begin(), shape.begin() + static_cast<int64_t>(std::min<size_t>(shape.size(), 8)));
  std::string text = view.ShapeText();
  if (shape.size() > 8) text.insert(text.size() - 1, ", ...");
  return text;
}

// Problems of one kind: the first few in full, the rest as a number.
class Tally {
 public:
  Tally(Problems& problems, std::string_view more) : problems_(problems), more_(more) {}
  ~Tally() {
    if (count_ > kShown) problems_.Add(StrCat("and ", count_ - kShown, " more ", more_));
  }
  template <typename Text>
  void Add(Text&& text) {
    if (count_++ < kShown) problems_.Add(text());
  }
  size_t count() const { return count_; }

 private:
  static constexpr size_t kShown = 3;
  Problems& problems_;
  std::string_view more_;
  size_t count_ = 0;
};

class Binder {
 public:
  Binder(const HfConfig& config, const TensorFiles& files, Problems& problems)
      : config_(config),
        spec_(config.spec),
        files_(files),
        names_(config.spec, *config.family, Prefix(files)),
        problems_(problems),
        missing_(problems, "tensors are missing"),
        extra_(problems, "tensors take no part in this model"),
        shapes_(problems, "tensors have another shape than config.json says"),
        dtypes_(problems, "tensors have a dtype that is not served") {}

  Binding Run() {
    BindEmbeddings();
    BindOne(names_.FinalNorm());
    for (int layer = 0; layer < static_cast<int>(spec_.layers.size()) && !Hopeless(); ++layer) {
      for (const ExpectedTensor& expected : names_.Layer(layer)) BindOne(expected);
      if (spec_.layers[static_cast<size_t>(layer)].moe) BindExperts(layer);
    }
    // A config of another model makes everything missing and extra; one side of it is enough to see.
    if (!Hopeless()) CheckExtra();
    return std::move(binding_);
  }

 private:
  // So many are missing that the config is of another model:
  // going on would cost time by what the config states.
  bool Hopeless() const { return missing_.count() > 1000; }

  static std::string Prefix(const TensorFiles& files) {
    const bool bare = !files.Find("model.embed_tokens.weight") && files.Find("embed_tokens.weight");
    return bare ? "" : "model.";
  }

  void BindEmbeddings() {
    const ExpectedTensor embedding = names_.Embedding(), head = names_.Head();
    if (!spec_.tied_embeddings) {
      BindOne(embedding);
      BindOne(head, ": tie_word_embeddings is false in config.json; is the head in a file of its own?");
      return;
    }
    const bool has_embedding = files_.Find(embedding.name) != nullptr,
               has_head = files_.Find(head.name) != nullptr;
    if (has_head && !has_embedding) {
      ExpectedTensor both = embedding;
      both.name = head.name;
      BindOne(both);
      return;
    }
    BindOne(embedding);
    if (!has_head) return;
    BindOne(head);
    const auto a = binding_.weights.find(embedding.key), b = binding_.weights.find(head.key);
    if (a == binding_.weights.end() || b == binding_.weights.end()) return;
    CheckEqual(a->second, b->second);
    binding_.skipped_bytes += b->second.view.Bytes();
    binding_.weights.erase(b);
  }

  void CheckEqual(const BoundWeight& a, const BoundWeight& b) {
    const auto differ = [&] {
      problems_.Add(
          StrCat("tensor ", b.name, ": expected the same bytes as ", a.name,
                 " because tie_word_embeddings is true, found others: set it to false in config.json if the "
                 "head was trained apart"));
    };
    if (a.view.dtype != b.view.dtype) return differ();
    constexpr size_t kChunk = size_t{1} << 20;
    std::vector<std::byte> left(kChunk), right(kChunk);
    const size_t bytes = a.view.Bytes();
    for (size_t at = 0; at < bytes; at += kChunk) {
      const size_t size = std::min(kChunk, bytes - at);
      TensorView x = a.view, y = b.view;
      x.data += at;
      y.data += at;
      for (const absl::Status& read :
           {a.file->Read(x, {left.data(), size}), b.file->Read(y, {right.data(), size})}) {
        if (!read.ok()) return problems_.Add(read);
      }
      if (std::memcmp(left.data(), right.data(), size) != 0) return differ();
    }
  }

  // The tensor in the files, with its shape and dtype checked; nullptr with a problem otherwise.
  const TensorFiles::Tensor* Take(const ExpectedTensor& expected, std::string_view cure, TensorView& view) {
    const TensorFiles::Tensor* tensor = files_.Find(expected.name);
    if (tensor == nullptr && !expected.other_name.empty()) tensor = files_.Find(expected.other_name);
    if (tensor == nullptr) {
      missing_.Add([&] {
        return StrCat("tensor ", expected.name, ": expected ", ShapeText(expected.shape),
                      ", found no such tensor", cure);
      });
      return nullptr;
    }
    used_.insert(tensor->entry->name);
    if (tensor->entry->shape != expected.shape) {
      shapes_.Add([&] {
        return StrCat("tensor ", tensor->entry->name, ": expected ", ShapeText(expected.shape), ", found ",
                      ShapeText(tensor->entry->shape),
                      ": config.json and the weights are of different models");
      });
      return nullptr;
    }
    auto typed = tensor->file->View(*tensor->entry);
    if (!typed.ok()) {
      dtypes_.Add([&] { return std::string(typed.status().message()); });
      return nullptr;
    }
    view = *std::move(typed);
    return tensor;
  }

  void BindOne(const ExpectedTensor& expected, std::string_view cure = "") {
    TensorView view;
    const TensorFiles::Tensor* tensor = Take(expected, cure, view);
    if (tensor != nullptr)
      binding_.weights[expected.key] = {tensor->entry->name, std::move(view), tensor->file};
  }

  void BindExperts(int layer) {
    const auto stacked = names_.StackedExperts(layer);
    if (files_.Find(stacked[0].name) != nullptr || files_.Find(stacked[1].name) != nullptr) {
      return BindStacked(layer, stacked);
    }
    for (int expert = 0; expert < spec_.gate.experts && !Hopeless(); ++expert) {
      for (const ExpectedTensor& expected : names_.Expert(layer, expert)) BindOne(expected);
    }
  }

  // Each expert is a slice of rows: gate first, up after it, in the one tensor; down in the other.
  void BindStacked(int layer, const std::array<ExpectedTensor, 2>& stacked) {
    TensorView gate_up, down;
    const TensorFiles::Tensor* first = Take(stacked[0], "", gate_up);
    const TensorFiles::Tensor* second = Take(stacked[1], "", down);
    if (first == nullptr || second == nullptr) return;
    const int64_t width = spec_.expert_width, hidden = spec_.hidden;
    gate_up.shape = {spec_.gate.experts * 2 * width, hidden};
    down.shape = {spec_.gate.experts * hidden, width};
    const auto slice = [&](const TensorFiles::Tensor& tensor, const TensorView& whole, WeightRole role,
                           int expert, int64_t begin, int64_t rows) {
      binding_.weights[{role, layer, expert}] = {StrCat(tensor.entry->name, "[", expert, "]"),
                                                 whole.Rows(begin, begin + rows), tensor.file};
    };
    for (int expert = 0; expert < spec_.gate.experts; ++expert) {
      slice(*first, gate_up, WeightRole::kExpertGate, expert, expert * 2 * width, width);
      slice(*first, gate_up, WeightRole::kExpertUp, expert, expert * 2 * width + width, width);
      slice(*second, down, WeightRole::kExpertDown, expert, expert * hidden, hidden);
    }
  }

  void CheckExtra() {
    std::vector<const SafetensorsEntry*> extra;
    for (const auto& [name, tensor] : files_.tensors()) {
      if (used_.contains(name)) continue;
      if (IsHarmlessTensor(name, static_cast<int64_t>(spec_.layers.size()), config_.extra_layers)) {
        binding_.skipped_bytes += tensor.entry->end - tensor.entry->begin;
      } else {
        extra.push_back(tensor.entry);
      }
    }
    std::sort(extra.begin(), extra.end(), [](auto* a, auto* b) { return a->name < b->name; });
    for (const SafetensorsEntry* entry : extra) {
      extra_.Add([&] {
        return StrCat("tensor ", Quote(entry->name, 200), ": expected no such tensor, found ", entry->dtype,
                      " ", ShapeText(entry->shape), ": this architecture has no use for it");
      });
    }
  }

  const HfConfig& config_;
  const ModelSpec& spec_;
  const TensorFiles& files_;
  const WeightNames names_;
  Problems& problems_;
  Tally missing_, extra_, shapes_, dtypes_;
  std::unordered_set<std::string_view> used_;
  Binding binding_;
};

}  // namespace

Binding BindWeights(const HfConfig& config, const TensorFiles& files, Problems& problems) {
  if (config.family == nullptr) return {};
  return Binder(config, files, problems).Run();
}

}  // namespace guildhall
