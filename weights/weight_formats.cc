#include "weights/weight_formats.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_split.h"
#include "base/status.h"
#include "base/str_cat.h"

namespace guildhall {
namespace {

constexpr std::string_view kAuto = "auto";

const WeightKind* FindKind(std::string_view name) {
  const auto* kind = std::find_if(kWeightKinds.begin(), kWeightKinds.end(),
                                  [&](const WeightKind& known) { return known.name == name; });
  return kind == kWeightKinds.end() ? nullptr : kind;
}

std::string KindNames() {
  std::string names;
  for (const WeightKind& kind : kWeightKinds) StrAppend(&names, names.empty() ? "" : ", ", kind.name);
  return names;
}

std::string_view NameOf(const std::optional<WeightFormat>& format) {
  return format ? WeightFormatName(*format) : kAuto;
}

}  // namespace

absl::StatusOr<std::optional<WeightFormat>> ParseFormatChoice(std::string_view what, std::string_view name) {
  if (name == kAuto) return std::nullopt;
  if (const auto format = ParseWeightFormat(name)) return format;
  std::string known(kAuto);
  for (int i = 0; i < kWeightFormats; ++i) {
    StrAppend(&known, ", ", WeightFormatName(static_cast<WeightFormat>(i)));
  }
  return absl::InvalidArgumentError(
      StrCat(what, ": expected a weight format (", known, "), found \"", name, "\""));
}

absl::StatusOr<WeightFormats> ParseWeightFormats(std::string_view text) {
  WeightFormats formats;
  if (text.find('=') == std::string_view::npos) {
    GH_ASSIGN_OR_RETURN(const auto format, ParseFormatChoice("weights", text));
    for (const WeightKind& kind : kWeightKinds) formats.*kind.format = format;
    return formats;
  }
  const std::vector<std::string> items = absl::StrSplit(absl::string_view(text.data(), text.size()), ',');
  for (const std::string& item : items) {
    const size_t equals = item.find('=');
    const WeightKind* kind = equals == std::string::npos ? nullptr : FindKind(item.substr(0, equals));
    if (kind == nullptr) {
      return absl::InvalidArgumentError(StrCat("weights: expected KIND=FORMAT with one of the kinds ",
                                               KindNames(), ", found \"", item, "\""));
    }
    GH_ASSIGN_OR_RETURN(formats.*kind->format, ParseFormatChoice(kind->name, item.substr(equals + 1)));
  }
  return formats;
}

std::string WeightFormatsText(const WeightFormats& formats) {
  const std::string_view first = NameOf(formats.experts);
  const bool same = std::all_of(kWeightKinds.begin(), kWeightKinds.end(), [&](const WeightKind& kind) {
    return NameOf(formats.*kind.format) == first;
  });
  if (same) return std::string(first);
  std::string text;
  for (const WeightKind& kind : kWeightKinds) {
    if (formats.*kind.format) {
      StrAppend(&text, text.empty() ? "" : ",", kind.name, "=", NameOf(formats.*kind.format));
    }
  }
  return text;
}

}  // namespace guildhall
