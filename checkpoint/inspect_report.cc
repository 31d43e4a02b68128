// The two forms of an inspection.
#include "base/format_bytes.h"
#include "base/json.h"
#include "base/str_cat.h"
#include "checkpoint/inspect.h"
#include "checkpoint/inspect_words.h"

namespace guildhall {
namespace {

// Aligned "name  value" lines.
class Lines {
 public:
  void Add(std::string_view name, std::string_view value) {
    constexpr size_t kNameWidth = 18;
    const size_t gap = name.size() < kNameWidth ? kNameWidth - name.size() : 1;
    StrAppend(&text_, name, std::string(gap, ' '), value, "\n");
  }
  void Raw(std::string_view line) { StrAppend(&text_, line, "\n"); }
  std::string Take() { return std::move(text_); }

 private:
  std::string text_;
};

// `count` things of `bytes` each.
std::string Bytes(int64_t bytes, int64_t count = 1) {
  return FormatBytes(static_cast<uint64_t>(bytes) * static_cast<uint64_t>(count), 2);
}

void AddModel(const Inspection& in, Lines& lines) {
  const ModelSpec& spec = in.spec;
  lines.Add("architecture",
            StrCat(spec.architecture.empty() ? "not stated" : spec.architecture, " (", spec.family, ")"));
  lines.Add("layers", LayerWords(spec));
  lines.Add("hidden", StrCat(spec.hidden, ", vocabulary ", spec.vocabulary,
                             spec.tied_embeddings ? ", tied embeddings" : ""));
  if (!in.known_family) return;
  lines.Add("attention", AttentionWords(spec.attention));
  lines.Add("rope", RopeWords(spec.attention.rope));
  if (spec.moe()) lines.Add("router", RouterWords(spec.gate));
  lines.Add("context", StrCat(spec.max_positions, " positions"));
}

void AddSizes(const Inspection& in, Lines& lines) {
  lines.Add("parameters", in.known_family ? StrCat(CountWords(in.parameters), ", ",
                                                   CountWords(in.active_parameters), " active per token")
                                          : CountWords(in.parameters));
  for (const Inspection::Part& part : in.parts) {
    lines.Add(StrCat("  ", part.kind), StrCat(Bytes(part.bytes), ", ", CountWords(part.parameters)));
  }
  std::string dtypes;
  for (const auto& [dtype, bytes] : in.bytes_by_dtype) {
    StrAppend(&dtypes, dtypes.empty() ? "" : ", ", dtype, " ", Bytes(bytes));
  }
  lines.Add("dtype", dtypes.empty() ? "no weights found" : std::string_view(dtypes));
  lines.Add("files", StrCat(in.files, " with ", in.tensors, " tensors, ", Bytes(in.file_bytes)));
  if (in.skipped_bytes > 0)
    lines.Add("not read", StrCat(Bytes(in.skipped_bytes), " of tensors without a use"));
  if (!in.known_family) return;
  lines.Add("resident weights", Bytes(in.weight_bytes));
  lines.Add("read per token", StrCat(Bytes(in.bytes_per_token), " of weights"));
  if (in.expert_bytes > 0) lines.Add("one expert", Bytes(in.expert_bytes));
  lines.Add("KV per token",
            StrCat(Bytes(in.kv_bytes_per_token), ", ", Bytes(in.kv_bytes_per_token, in.spec.max_positions),
                   " for a full context"));
}

Json PartsJson(const Inspection& in) {
  Json parts = Json::array();
  for (const Inspection::Part& part : in.parts) {
    parts.push_back({{"kind", part.kind},
                     {"parameters", part.parameters},
                     {"active", part.active},
                     {"bytes", part.bytes},
                     {"active_bytes", part.active_bytes}});
  }
  return parts;
}

}  // namespace

std::string InspectText(const Inspection& in, const std::vector<NamedLine>& machine) {
  Lines lines;
  lines.Add("folder", in.directory);
  AddModel(in, lines);
  AddSizes(in, lines);
  lines.Add("tokenizer", in.tokenizer);
  for (const NamedLine& line : machine) lines.Add(line.name, line.text);
  for (const std::string& note : in.notes) lines.Add("note", note);
  if (in.served) {
    lines.Raw("served: yes");
  } else {
    lines.Raw(
        StrCat("served: no, for ", in.problems.size(), in.problems.size() == 1 ? " reason:" : " reasons:"));
    for (const Problem& problem : in.problems) lines.Raw(StrCat("  - ", problem.text));
  }
  return lines.Take();
}

Json InspectJson(const Inspection& in) {
  const ModelSpec& spec = in.spec;
  Json problems = Json::array();
  for (const Problem& problem : in.problems) problems.push_back(problem.text);
  Json json = {
      {"folder", in.directory},
      {"served", in.served},
      {"problems", problems},
      {"notes", in.notes},
      {"architecture", spec.architecture},
      {"family", spec.family},
      {"layers", spec.layers.size()},
      {"hidden", spec.hidden},
      {"vocabulary", spec.vocabulary},
      {"parameters", in.parameters},
      {"files", in.files},
      {"file_bytes", in.file_bytes},
      {"tensors", in.tensors},
      {"bytes_by_dtype", in.bytes_by_dtype},
      {"tokenizer", in.tokenizer},
  };
  if (in.known_family) {
    json["active_parameters"] = in.active_parameters;
    json["parts"] = PartsJson(in);
    json["weight_bytes"] = in.weight_bytes;
    json["bytes_per_token"] = in.bytes_per_token;
    json["expert_bytes"] = in.expert_bytes;
    json["kv_bytes_per_token"] = in.kv_bytes_per_token;
    json["skipped_bytes"] = in.skipped_bytes;
    json["context"] = spec.max_positions;
    json["experts"] = spec.gate.experts;
    json["experts_per_token"] = spec.gate.k;
    json["attention"] = AttentionWords(spec.attention);
    json["rope"] = RopeWords(spec.attention.rope);
    json["router"] = RouterWords(spec.gate);
    json["eos_tokens"] = spec.eos_tokens;
  }
  return json;
}

}  // namespace guildhall
