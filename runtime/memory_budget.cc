#include "runtime/memory_budget.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <limits>
#include <optional>

#include "absl/strings/match.h"
#include "base/check.h"
#include "base/format_bytes.h"
#include "base/status.h"
#include "base/str_cat.h"
#include "engine/kv_blocks.h"
#include "kernels/ops.h"

namespace guildhall {
namespace {

constexpr double kAutoShare = 0.8;

struct Unit {
  std::string_view name;
  uint64_t bytes;
};
constexpr std::array<Unit, 14> kUnits = {{{"", 1},
                                          {"B", 1},
                                          {"KB", 1000},
                                          {"MB", 1000000},
                                          {"GB", 1000000000},
                                          {"TB", 1000000000000},
                                          {"KiB", uint64_t{1} << 10},
                                          {"MiB", uint64_t{1} << 20},
                                          {"GiB", uint64_t{1} << 30},
                                          {"TiB", uint64_t{1} << 40},
                                          {"K", uint64_t{1} << 10},
                                          {"M", uint64_t{1} << 20},
                                          {"G", uint64_t{1} << 30},
                                          {"T", uint64_t{1} << 40}}};

std::string_view Trim(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

absl::string_view View(std::string_view text) {
  return {text.data(), text.size()};
}

absl::Status BadAmount(std::string_view text) {
  return absl::InvalidArgumentError(
      StrCat("\"", text, "\" is not an amount of memory; expected bytes with a unit ",
             "(\"4GiB\", \"1.5 GB\"), a share from above 0% to 100% (\"60%\") or \"auto\""));
}

// One decimal, so that text and tests do not depend on a locale.
std::string OneDecimal(double value) {
  char digits[64];
  return std::string(digits,
                     std::to_chars(digits, digits + sizeof(digits), value, std::chars_format::fixed, 1).ptr);
}

}  // namespace

absl::StatusOr<MemoryAmount> ParseMemoryAmount(std::string_view text) {
  const std::string_view trimmed = Trim(text);
  if (trimmed == "auto") return MemoryAmount{};
  double number = 0.0;
  const auto [end, error] =
      std::from_chars(trimmed.data(), trimmed.data() + trimmed.size(), number, std::chars_format::fixed);
  if (error != std::errc() || !std::isfinite(number) || number <= 0.0) return BadAmount(text);
  const std::string_view unit = Trim(trimmed.substr(static_cast<size_t>(end - trimmed.data())));
  if (unit == "%") {
    if (number > 100.0) return BadAmount(text);
    return MemoryAmount{.kind = MemoryAmount::Kind::kShare, .share = number / 100.0};
  }
  for (const Unit& known : kUnits) {
    if (!absl::EqualsIgnoreCase(View(unit), View(known.name))) continue;
    const double bytes = number * static_cast<double>(known.bytes);
    if (bytes < 1.0 || bytes > 0x1.0p62) return BadAmount(text);
    return MemoryAmount{.kind = MemoryAmount::Kind::kBytes, .bytes = static_cast<uint64_t>(bytes)};
  }
  return BadAmount(text);
}

absl::StatusOr<AvailableMemory> LimitMemory(AvailableMemory available, std::string_view text) {
  GH_ASSIGN_OR_RETURN(const MemoryAmount amount, ParseMemoryAmount(text));
  if (amount.kind == MemoryAmount::Kind::kAuto) return available;
  const bool share = amount.kind == MemoryAmount::Kind::kShare;
  const uint64_t most =
      share ? static_cast<uint64_t>(static_cast<double>(available.bytes) * amount.share) : amount.bytes;
  if (most >= available.bytes) return available;
  const std::string of = share ? StrCat(" of ", FormatBytes(available.bytes), ", ", available.source) : "";
  return AvailableMemory{.bytes = most, .source = StrCat("device_memory ", text, of)};
}

absl::StatusOr<KvBudget> PlanKvBudget(const KvBudgetQuestion& question) {
  GH_CHECK_GT(question.block_bytes, 0u);
  GH_ASSIGN_OR_RETURN(const MemoryAmount amount, ParseMemoryAmount(question.budget));
  const uint64_t available = question.available.bytes;
  const int64_t needed = std::max<int64_t>(1, KvBlocksFor(question.must_hold));
  const uint64_t least_kv = static_cast<uint64_t>(needed) * question.block_bytes;
  if (question.weights + question.step + least_kv > available) {
    return absl::ResourceExhaustedError(StrCat(
        "the model does not fit: weights ", FormatBytes(question.weights), " + step ",
        FormatBytes(question.step), " + the smallest KV cache ", FormatBytes(least_kv), ", and ",
        FormatBytes(available), " are available (", question.available.source,
        "); choose a smaller format (weights.*), fewer rows (engine.token_budget) or another device, or free "
        "memory"));
  }
  const uint64_t left = available - question.weights - question.step;
  std::string text = StrCat(FormatBytes(available), " available (", question.available.source, ") - ",
                            FormatBytes(question.weights), " weights - ", FormatBytes(question.step),
                            " step = ", FormatBytes(left), "; ");
  uint64_t budget = amount.bytes;
  if (amount.kind == MemoryAmount::Kind::kBytes) {
    if (budget > left) {
      return absl::ResourceExhaustedError(StrCat("the budget of ", FormatBytes(budget),
                                                 " for KV cache and adapters does not fit: ", text,
                                                 "lower the budget, or give a share such as \"80%\""));
    }
    StrAppend(&text, "KV cache and adapters ", FormatBytes(budget));
  } else {
    const double share = amount.kind == MemoryAmount::Kind::kShare ? amount.share : kAutoShare;
    budget = static_cast<uint64_t>(static_cast<double>(left) * share);
    StrAppend(&text, "KV cache and adapters ", OneDecimal(share * 100.0), "% of it = ", FormatBytes(budget));
  }

  const uint64_t fitting = budget / question.block_bytes;
  auto blocks = static_cast<int64_t>(std::min<uint64_t>(fitting, std::numeric_limits<int32_t>::max()));
  StrAppend(&text, " = ", blocks, " blocks of ", FormatBytes(question.block_bytes), " (", kKvBlockTokens,
            " tokens)");
  if (blocks < needed) {
    return absl::ResourceExhaustedError(
        StrCat("the KV cache is too small: a sequence of ", std::max<int64_t>(question.must_hold, 1),
               " tokens needs ", needed, " blocks, ", FormatBytes(least_kv), "; ", text,
               "; raise the budget, free memory, or lower the longest sequence"));
  }
  const int64_t of_use = KvBlocksFor(question.context) * question.max_sequences;
  if (of_use > 0 && blocks > of_use) {
    blocks = of_use;
    StrAppend(&text, ", of which ", blocks, " are of use (", question.max_sequences, " sequences of ",
              question.context, " tokens)");
  }
  const uint64_t bytes = static_cast<uint64_t>(blocks) * question.block_bytes;
  const int64_t tokens = blocks * kKvBlockTokens;
  StrAppend(&text, ": ", FormatBytes(bytes), " for ", tokens, " tokens");
  if (question.context > 0 && tokens < question.context) {
    StrAppend(&text, ", less than the model's context of ", question.context);
  }
  const int64_t min_blocks = std::max(needed, std::min(KvBlocksFor(question.context), blocks / 2));
  StrAppend(&text, "; ", FormatBytes(static_cast<uint64_t>(min_blocks) * question.block_bytes),
            " are the KV cache's alone");
  return KvBudget{
      .total = budget, .blocks = blocks, .bytes = bytes, .min_blocks = min_blocks, .text = std::move(text)};
}

}  // namespace guildhall
