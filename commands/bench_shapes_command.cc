// guildhall bench shapes: the shapes that benchmarks
// generate, for programs that make the same ones elsewhere.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "base/json.h"
#include "bench/shapes.h"
#include "commands/commands.h"

namespace guildhall {
namespace {

Json ShapeJson(const ModelSpec& spec) {
  const AttentionSpec& a = spec.attention;
  Json json{{"family", spec.family},
            {"layers", spec.layers.size()},
            {"hidden", spec.hidden},
            {"vocabulary", spec.vocabulary},
            {"max_positions", spec.max_positions},
            {"norm_eps", spec.norm_eps},
            {"attention", a.kind == AttentionSpec::Kind::kLatent ? "latent" : "grouped-query"},
            {"heads", a.heads},
            {"kv_heads", a.kv_heads},
            {"head_dim", a.head_dim},
            {"qk_norm", a.qk_norm != AttentionSpec::QkNorm::kNone},
            {"experts", spec.gate.experts},
            {"experts_per_token", spec.gate.k},
            {"normalize", spec.gate.normalize},
            {"expert_width", spec.expert_width},
            {"shared_width", spec.shared_width},
            {"dense_width", spec.dense_width}};
  return json;
}

int PrintShapes() {
  Json shapes = Json::object();
  for (const std::string& name : ShapeNames()) shapes[name] = ShapeJson(*ShapeSpec(name, DType::kBF16, 0));
  std::printf("%s\n", DumpJson(shapes, 2).c_str());
  return 0;
}

}  // namespace

void AddBenchShapesCommand(CLI::App& bench, Action& action) {
  CLI::App* command = bench.add_subcommand("shapes", "print the shapes that can be generated, as JSON");
  command->callback([&action] { action = PrintShapes; });
}

}  // namespace guildhall
