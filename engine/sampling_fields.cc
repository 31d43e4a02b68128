#include "engine/sampling_fields.h"

#include "base/str_cat.h"

namespace guildhall {
namespace {

template <typename Value>
bool IsSet(const std::optional<Value>& value) {
  return value.has_value();
}
template <typename Value>
bool IsSet(const std::vector<Value>& values) {
  return !values.empty();
}

template <typename Value, typename Param>
void Take(const std::optional<Value>& value, Param& param) {
  param = static_cast<Param>(*value);
}
template <typename Value, typename Param>
void Take(const std::vector<Value>& values, std::vector<Param>& param) {
  param.clear();
  for (const Value& value : values) param.push_back(static_cast<Param>(value));
}

void Take(const std::vector<std::vector<int64_t>>& values, std::vector<std::vector<int32_t>>& param) {
  param.clear();
  for (const std::vector<int64_t>& value : values) param.emplace_back(value.begin(), value.end());
}

template <typename Value, typename Param>
void Begin(std::optional<Value>& value, const Param* param) {
  value = param == nullptr ? Value{} : static_cast<Value>(*param);
}
template <typename Value, typename Param>
void Begin(std::vector<Value>&, const Param*) {}

std::optional<std::string> Problem(const SamplingField& field, std::string_view kind, bool good, auto value) {
  if (good) return std::nullopt;
  return StrCat("expected ", kind, field.range.Text(), ", found ", value);
}

std::optional<std::string> Check(const SamplingField& field, double value) {
  return Problem(field, "a number", field.range.Contains(value), value);
}
std::optional<std::string> Check(const SamplingField& field, float value) {
  return Problem(field, "a number", field.range.Contains(value), value);
}
std::optional<std::string> Check(const SamplingField& field, int64_t value) {
  return Problem(field, "an integer", field.range.Contains(static_cast<double>(value)), value);
}
std::optional<std::string> Check(const SamplingField& field, int32_t value) {
  return Check(field, int64_t{value});
}
std::optional<std::string> Check(const SamplingField&, bool) {
  return std::nullopt;
}
std::optional<std::string> Check(const SamplingField&, const std::string&) {
  return std::nullopt;
}
template <typename Value>
std::optional<std::string> Check(const SamplingField& field, const std::optional<Value>& value) {
  return value ? Check(field, *value) : std::nullopt;
}
template <typename Value>
std::optional<std::string> Check(const SamplingField& field, const std::vector<Value>& values) {
  for (const Value& value : values) {
    if (auto problem = Check(field, value)) return problem;
  }
  return std::nullopt;
}

}  // namespace

PartialSampling Merge(const PartialSampling& over, const PartialSampling& under) {
  PartialSampling merged = over;
  for (const SamplingField& field : kSamplingFields) {
    std::visit(
        [&](const auto& member) {
          auto& value = merged.*member.partial;
          if (!IsSet(value)) value = under.*member.partial;
        },
        field.member);
  }
  return merged;
}

void Resolve(const PartialSampling& partial, SamplingParams& params) {
  for (const SamplingField& field : kSamplingFields) {
    std::visit(
        [&](const auto& member) {
          const auto& value = partial.*member.partial;
          if (member.param != nullptr && IsSet(value)) Take(value, params.*member.param);
        },
        field.member);
  }
}

PartialSampling BuiltInSampling() {
  const SamplingParams params;
  PartialSampling partial;
  for (const SamplingField& field : kSamplingFields) {
    std::visit(
        [&](const auto& member) {
          Begin(partial.*member.partial, member.param == nullptr ? nullptr : &(params.*member.param));
        },
        field.member);
  }
  return partial;
}

std::optional<std::string> RangeProblem(const SamplingField& field, const PartialSampling& partial) {
  return std::visit([&](const auto& member) { return Check(field, partial.*member.partial); }, field.member);
}

std::optional<std::string> RangeProblem(const SamplingField& field, const SamplingParams& params) {
  return std::visit(
      [&](const auto& member) {
        return member.param == nullptr ? std::nullopt : Check(field, params.*member.param);
      },
      field.member);
}

}  // namespace guildhall
