#include "adapters/peft_targets.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/status.h"
#include "base/str_cat.h"

namespace guildhall {
namespace {

constexpr size_t kMaxKeys = 4096, kMaxPatternSteps = 6000;

bool IsDigits(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

absl::StatusOr<NamePattern> CompileAt(const std::string& where, std::string_view text) {
  auto pattern = NamePattern::Compile(text);
  if (pattern.ok()) return pattern;
  return absl::Status(pattern.status().code(), StrCat(where, ": ", pattern.status().message()));
}

// A key without anything that a regular expression reads otherwise, but for dots.
bool IsPlain(std::string_view key) {
  for (size_t i = 0; i < key.size(); ++i) {
    const char c = key[i];
    const bool word = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                      c == '_' || c == '-' || c == '.';
    if (c == '\\' && i + 1 < key.size() && key[i + 1] == '.') continue;
    if (!word) return false;
  }
  return !key.empty();
}

}  // namespace

NameEndings::NameEndings(const std::vector<std::string>& names) {
  for (size_t i = 0; i < names.size(); ++i) index_.emplace(names[i], static_cast<int64_t>(i));
}

int64_t NameEndings::Match(std::string_view full_name, bool* exact) const {
  if (exact != nullptr) *exact = true;
  if (index_.empty()) return -1;
  for (std::string_view rest = full_name;;) {
    if (const auto at = index_.find(std::string(rest)); at != index_.end()) return at->second;
    if (exact != nullptr) *exact = false;
    const size_t dot = rest.find('.');
    if (dot == rest.npos) return -1;
    rest.remove_prefix(dot + 1);
  }
}

bool PeftTargets::EndPattern::Matches(std::string_view name) const {
  if (pattern) return pattern->Matches(name);
  if (name.size() < text.size()) return false;
  const size_t begin = name.size() - text.size();
  if (begin > 0 && name[begin - 1] != '.') return false;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool any = text[i] == '.' && literal[i] == 0;
    if (!any && name[begin + i] != text[i]) return false;
  }
  return true;
}

absl::StatusOr<PeftTargets::EndPattern> PeftTargets::CompileEnd(const std::string& key) {
  EndPattern end;
  if (!IsPlain(key)) {
    GH_ASSIGN_OR_RETURN(end.pattern, NamePattern::Compile(StrCat("(?:.*\\.)?(?:", key, ")")));
    return end;
  }
  for (size_t i = 0; i < key.size(); ++i) {
    const bool escaped = key[i] == '\\';
    if (escaped) ++i;
    end.text += key[i];
    end.literal += static_cast<char>(escaped ? 1 : 0);
  }
  return end;
}

absl::StatusOr<PeftTargets> PeftTargets::Compile(const PeftConfig& config, const std::string& what,
                                                 LayerNumber layer_number) {
  PeftTargets targets(config, layer_number);
  if (config.targets.pattern) {
    GH_ASSIGN_OR_RETURN(targets.pattern_,
                        CompileAt(StrCat(what, ": target_modules"), *config.targets.pattern));
  }
  if (config.excluded.pattern) {
    GH_ASSIGN_OR_RETURN(targets.excluded_pattern_,
                        CompileAt(StrCat(what, ": exclude_modules"), *config.excluded.pattern));
  }
  for (const std::string& text : config.layers_patterns) {
    GH_ASSIGN_OR_RETURN(NamePattern pattern,
                        CompileAt(StrCat(what, ": layers_pattern"), StrCat("(?:.*\\.)?(?:", text, ")")));
    targets.layers_patterns_.push_back(std::move(pattern));
  }
  size_t steps = 0;
  const auto compile = [&](const std::string& key, const auto& entries, auto& out) -> absl::Status {
    for (const auto& [text, value] : entries) {
      auto end = CompileEnd(text);
      if (!end.ok())
        return absl::Status(end.status().code(), StrCat(what, ": ", key, ": ", end.status().message()));
      steps += end->pattern ? end->pattern->size() : 0;
      out.emplace_back(*std::move(end), value);
    }
    if (steps <= kMaxPatternSteps && entries.size() <= kMaxKeys) return absl::OkStatus();
    return absl::FailedPreconditionError(StrCat(what, ": ", key, ": expected at most ", kMaxKeys,
                                                " names or some dozens of regular expressions, found ",
                                                entries.size(), " keys"));
  };
  GH_RETURN_IF_ERROR(compile("rank_pattern", config.rank_pattern, targets.ranks_));
  GH_RETURN_IF_ERROR(compile("alpha_pattern", config.alpha_pattern, targets.alphas_));
  return targets;
}

bool PeftTargets::Excluded(std::string_view name) const {
  if (excluded_pattern_) return excluded_pattern_->Matches(name);
  return excluded_.Match(name) >= 0;
}

// A part that is a number and stands behind two others tells the layer, as in PEFT; with patterns, the first
// number behind one of them.
bool PeftTargets::InLayers(std::string_view name) const {
  if (!config_.layers) return true;
  std::vector<size_t> dots;
  for (size_t i = 0; i < name.size(); ++i) {
    if (name[i] == '.') dots.push_back(i);
  }
  int64_t layer = -1;
  for (size_t i = 0; i + 1 < dots.size(); ++i) {
    const std::string_view part = name.substr(dots[i] + 1, dots[i + 1] - dots[i] - 1);
    if (!IsDigits(part)) continue;
    const std::string_view before = name.substr(0, dots[i]);
    const bool counts =
        layers_patterns_.empty()
            ? i > 0
            : std::any_of(layers_patterns_.begin(), layers_patterns_.end(),
                          [&](const NamePattern& pattern) { return pattern.Matches(before); });
    if (!counts) continue;
    std::from_chars(part.data(), part.data() + part.size(), layer);
    if (!layers_patterns_.empty() || layer_number_ == LayerNumber::kFirst) break;
  }
  return layer >= 0 &&
         std::find(config_.layers->begin(), config_.layers->end(), layer) != config_.layers->end();
}

bool PeftTargets::Wants(const ModelModule& module, int64_t* listed) const {
  if (listed != nullptr) *listed = -1;
  const bool excluded = Excluded(module.name);
  if (config_.targets.all_linear) return module.kind == ModelModule::Kind::kLinear && !excluded;
  if (pattern_) return !excluded && pattern_->Matches(module.name);
  bool exact = false;
  const int64_t index = names_.Match(module.name, &exact);
  if (listed != nullptr) *listed = index;
  return index >= 0 && !excluded && (exact || InLayers(module.name));
}

int64_t PeftTargets::RankOf(std::string_view full_name) const {
  for (const auto& [end, rank] : ranks_) {
    if (end.Matches(full_name)) return rank;
  }
  return config_.rank;
}

float PeftTargets::ScaleOf(std::string_view full_name) const {
  const double rank = static_cast<double>(RankOf(full_name));
  double alpha = config_.alpha;
  for (const auto& [end, value] : alphas_) {
    if (!end.Matches(full_name)) continue;
    alpha = value;
    break;
  }
  return static_cast<float>(alpha / (config_.rank_stabilised ? std::sqrt(rank) : rank));
}

}  // namespace guildhall
