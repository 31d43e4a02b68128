#include "server/sampling_messages.h"

#include <charconv>
#include <string>

#include "base/check.h"
#include "base/str_cat.h"
#include "server/error_details.h"

namespace guildhall {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Reflection;

const FieldDescriptor& FieldOf(const SamplingField& field) {
  const auto* found = v1::SamplingOptions::descriptor()->FindFieldByName(std::string(field.name));
  GH_CHECK(found != nullptr);
  return *found;
}

// One field of a message that is read.
struct Reader {
  const v1::SamplingOptions& from;
  const FieldDescriptor& field;
  const Reflection& reflection = *v1::SamplingOptions::GetReflection();

  void Take(std::optional<double>& to) const {
    if (reflection.HasField(from, &field)) to = Decimal(reflection.GetFloat(from, &field));
  }
  void Take(std::optional<int64_t>& to) const {
    if (reflection.HasField(from, &field)) to = reflection.GetInt64(from, &field);
  }
  void Take(std::optional<bool>& to) const {
    if (reflection.HasField(from, &field)) to = reflection.GetBool(from, &field);
  }
  void Take(std::vector<std::string>& to) const {
    for (int i = 0; i < reflection.FieldSize(from, &field); ++i) {
      to.push_back(reflection.GetRepeatedString(from, &field, i));
    }
  }
  void Take(std::vector<std::vector<int64_t>>& to) const {
    for (int i = 0; i < reflection.FieldSize(from, &field); ++i) {
      const auto& message = reflection.GetRepeatedMessage(from, &field, i);
      const auto& ids = static_cast<const v1::TokenSequence&>(message).ids();
      to.emplace_back(ids.begin(), ids.end());
    }
  }
  void Take(std::vector<int64_t>& to) const {
    for (int i = 0; i < reflection.FieldSize(from, &field); ++i) {
      to.push_back(reflection.GetRepeatedInt32(from, &field, i));
    }
  }
};

// One field of a message that is written.
struct Writer {
  v1::SamplingOptions& to;
  const FieldDescriptor& field;
  const Reflection& reflection = *v1::SamplingOptions::GetReflection();

  void Give(const std::optional<double>& value) const {
    if (value) reflection.SetFloat(&to, &field, static_cast<float>(*value));
  }
  void Give(const std::optional<int64_t>& value) const {
    if (value) reflection.SetInt64(&to, &field, *value);
  }
  void Give(const std::optional<bool>& value) const {
    if (value) reflection.SetBool(&to, &field, *value);
  }
  void Give(const std::vector<std::string>& values) const {
    for (const std::string& value : values) reflection.AddString(&to, &field, value);
  }
  void Give(const std::vector<std::vector<int64_t>>& values) const {
    for (const std::vector<int64_t>& value : values) {
      auto& message = static_cast<v1::TokenSequence&>(*reflection.AddMessage(&to, &field));
      for (const int64_t id : value) message.add_ids(static_cast<int32_t>(id));
    }
  }
  void Give(const std::vector<int64_t>& values) const {
    for (const int64_t value : values) reflection.AddInt32(&to, &field, static_cast<int32_t>(value));
  }
};

}  // namespace

double Decimal(float value) {
  char digits[64];
  const char* const end = std::to_chars(digits, digits + sizeof(digits), value).ptr;
  double decimal = static_cast<double>(value);
  std::from_chars(digits, end, decimal);
  return decimal;
}

absl::StatusOr<PartialSampling> ReadSampling(const v1::SamplingOptions& from, std::string_view where) {
  PartialSampling sampling;
  for (const SamplingField& field : kSamplingFields) {
    const Reader reader{from, FieldOf(field)};
    std::visit([&](const auto& member) { reader.Take(sampling.*member.partial); }, field.member);
    if (const auto problem = RangeProblem(field, sampling)) {
      return FieldError(StrCat(where, ".", field.name), *problem);
    }
  }
  return sampling;
}

void FillSampling(const PartialSampling& from, v1::SamplingOptions& to) {
  for (const SamplingField& field : kSamplingFields) {
    const Writer writer{to, FieldOf(field)};
    std::visit([&](const auto& member) { writer.Give(from.*member.partial); }, field.member);
  }
}

}  // namespace guildhall
