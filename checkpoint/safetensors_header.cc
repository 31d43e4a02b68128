#include "checkpoint/safetensors.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <optional>
#include <utility>

#include "base/check.h"
#include "base/json.h"
#include "base/status.h"
#include "base/str_cat.h"

namespace guildhall {
namespace {

constexpr uint64_t kMaxHeaderBytes = 100'000'000;

absl::Status Malformed(std::string_view why) {
  return absl::InvalidArgumentError(StrCat("safetensors: ", why));
}

// Bits of one element; nullopt for a name that the format does not have.
std::optional<uint64_t> DTypeBits(std::string_view name) {
  struct Known {
    std::string_view name;
    uint64_t bits;
  };
  static constexpr Known kKnown[] = {
      {"BOOL", 8}, {"U8", 8},      {"I8", 8},      {"F8_E4M3", 8},     {"F8_E5M2", 8},     {"F8_E8M0", 8},
      {"F4", 4},   {"F6_E2M3", 6}, {"F6_E3M2", 6}, {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8}, {"I16", 16},
      {"U16", 16}, {"F16", 16},    {"BF16", 16},   {"I32", 32},        {"U32", 32},        {"F32", 32},
      {"I64", 64}, {"U64", 64},    {"F64", 64},    {"C64", 64},
  };
  for (const Known& known : kKnown) {
    if (known.name == name) return known.bits;
  }
  return std::nullopt;
}

std::string ShapeText(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) {
    if (i == 16) return text + ", ...]";
    StrAppend(&text, i ? ", " : "", shape[i]);
  }
  return text + "]";
}

// Takes the header's events straight into entries: a million
// tensors make no tree, and nothing is nested deeper than
// {"name": {"shape": [..]}}.
class HeaderReader : public nlohmann::json_sax<Json> {
 public:
  bool null() override { return Unexpected("null"); }
  bool boolean(bool value) override { return Unexpected(value ? "true" : "false"); }
  bool number_integer(number_integer_t value) override { return Unexpected(StrCat(value)); }
  bool number_float(number_float_t, const string_t& text) override { return Unexpected(Quote(text)); }
  bool binary(binary_t&) override { return Unexpected("binary data"); }

  bool number_unsigned(number_unsigned_t value) override {
    if (place_ == Place::kShape) {
      if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()))
        return Unexpected(StrCat(value));
      entry_.shape.push_back(static_cast<int64_t>(value));
      return true;
    }
    if (place_ == Place::kOffsets && offsets_read_ < 2) {
      (offsets_read_ == 0 ? entry_.begin : entry_.end) = value;
      ++offsets_read_;
      return true;
    }
    return Unexpected(StrCat(value));
  }

  bool string(string_t& value) override {
    if (place_ == Place::kMetadata) {
      if (!header_.metadata.emplace(key_, std::move(value)).second) {
        return Refuse(StrCat("__metadata__: duplicate key ", Quote(key_)));
      }
      return true;
    }
    if (place_ == Place::kEntry && key_ == "dtype") {
      entry_.dtype = std::move(value);
      return true;
    }
    return Unexpected(Quote(value));
  }

  bool start_object(size_t) override {
    if (place_ == Place::kOutside) return Enter(Place::kTop);
    if (place_ != Place::kTop) return Unexpected("an object");
    if (key_ == "__metadata__") {
      if (std::exchange(metadata_seen_, true)) return Refuse("duplicate key \"__metadata__\"");
      return Enter(Place::kMetadata);
    }
    entry_ = {};
    entry_.name = std::move(key_);
    has_dtype_ = has_shape_ = has_offsets_ = false;
    return Enter(Place::kEntry);
  }

  bool end_object() override {
    if (place_ != Place::kEntry) {
      place_ = place_ == Place::kTop ? Place::kOutside : Place::kTop;
      return true;
    }
    for (const auto& [present, name] : {std::pair(has_dtype_, "dtype"), std::pair(has_shape_, "shape"),
                                        std::pair(has_offsets_, "data_offsets")}) {
      if (!present) return Refuse(StrCat("tensor ", Quote(entry_.name), ": ", name, " is missing"));
    }
    header_.entries.push_back(std::move(entry_));
    return Enter(Place::kTop);
  }

  bool start_array(size_t) override {
    if (place_ == Place::kEntry && key_ == "shape") return Enter(Place::kShape);
    if (place_ == Place::kEntry && key_ == "data_offsets") {
      offsets_read_ = 0;
      return Enter(Place::kOffsets);
    }
    return Unexpected("a list");
  }

  bool end_array() override {
    if (place_ == Place::kOffsets && offsets_read_ != 2) return Unexpected("fewer than two numbers");
    return Enter(Place::kEntry);
  }

  bool key(string_t& value) override {
    key_ = std::move(value);
    if (place_ != Place::kEntry) return true;
    bool* seen = key_ == "dtype"          ? &has_dtype_
                 : key_ == "shape"        ? &has_shape_
                 : key_ == "data_offsets" ? &has_offsets_
                                          : nullptr;
    if (seen == nullptr) return Refuse(StrCat("tensor ", Quote(entry_.name), ": unknown key ", Quote(key_)));
    if (std::exchange(*seen, true)) {
      return Refuse(StrCat("tensor ", Quote(entry_.name), ": duplicate key ", Quote(key_)));
    }
    return true;
  }

  bool parse_error(size_t position, const std::string&, const nlohmann::detail::exception& error) override {
    // The library's text quotes the input: what it found is said in words, where in bytes.
    const std::string_view what = error.what();
    const bool bad_text = what.find("UTF-8") != what.npos || what.find("control character") != what.npos;
    return Refuse(StrCat("the header is not valid JSON (byte ", position, "): ",
                         bad_text ? "ill-formed UTF-8 or a control character in a string" : "syntax error"));
  }

  SafetensorsHeader Take() { return std::move(header_); }
  const std::string& refusal() const { return refusal_; }

 private:
  enum class Place { kOutside, kTop, kMetadata, kEntry, kShape, kOffsets };

  bool Enter(Place place) {
    place_ = place;
    return true;
  }
  bool Refuse(std::string why) {
    refusal_ = std::move(why);
    return false;
  }
  bool Unexpected(std::string_view found) {
    switch (place_) {
      case Place::kOutside:
        return Refuse(StrCat("expected a header object, found ", found));
      case Place::kTop:
        return Refuse(StrCat("tensor ", Quote(key_), ": expected an object, found ", found));
      case Place::kMetadata:
        return Refuse(StrCat("__metadata__: ", Quote(key_), ": expected a string, found ", found));
      case Place::kEntry:
        return Refuse(StrCat("tensor ", Quote(entry_.name), ": ", key_, ": expected ",
                             key_ == "dtype" ? "a string" : "a list", ", found ", found));
      case Place::kShape:
        return Refuse(StrCat("tensor ", Quote(entry_.name),
                             ": shape: expected integers from 0 to 2^63-1, found ", found));
      case Place::kOffsets:
        return Refuse(StrCat("tensor ", Quote(entry_.name),
                             ": data_offsets: expected two integers from 0, found ", found));
    }
    return false;
  }

  SafetensorsHeader header_;
  SafetensorsEntry entry_;
  std::string key_;
  std::string refusal_;
  Place place_ = Place::kOutside;
  int offsets_read_ = 0;
  bool metadata_seen_ = false, has_dtype_ = false, has_shape_ = false, has_offsets_ = false;
};

// end - begin must be the size that dtype and shape ask for, with every product checked.
absl::Status CheckSize(const SafetensorsEntry& entry) {
  const auto bad = [&](std::string_view why) {
    return Malformed(StrCat("tensor ", Quote(entry.name), ": ", why));
  };
  const std::optional<uint64_t> bits = DTypeBits(entry.dtype);
  if (!bits) return bad(StrCat("dtype: ", Quote(entry.dtype), " is not one of the format"));
  if (entry.end < entry.begin) {
    return bad(StrCat("data_offsets: the end ", entry.end, " is before the begin ", entry.begin));
  }
  int64_t elements = 1;
  for (const int64_t dim : entry.shape) {
    if (__builtin_mul_overflow(elements, dim, &elements)) {
      return bad(StrCat("shape: ", ShapeText(entry.shape), " has more elements than 64 bits count"));
    }
  }
  uint64_t total_bits = 0;
  if (__builtin_mul_overflow(static_cast<uint64_t>(elements), *bits, &total_bits)) {
    return bad(
        StrCat("shape: ", ShapeText(entry.shape), " of ", entry.dtype, " has more bits than 64 bits count"));
  }
  if (total_bits % 8 != 0) return bad(StrCat("shape: ", total_bits, " bits are no whole number of bytes"));
  if (entry.end - entry.begin != total_bits / 8) {
    return bad(StrCat("expected ", total_bits / 8, " bytes for ", entry.dtype, " ", ShapeText(entry.shape),
                      ", found ", entry.end - entry.begin, " in data_offsets"));
  }
  return absl::OkStatus();
}

// No holes, no overlap, and the last tensor ends where the file ends.
absl::Status CheckLayout(std::vector<SafetensorsEntry>& entries, uint64_t buffer_size) {
  std::sort(entries.begin(), entries.end(), [](const SafetensorsEntry& a, const SafetensorsEntry& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  uint64_t at = 0;
  for (const SafetensorsEntry& entry : entries) {
    if (entry.begin != at) {
      return Malformed(StrCat("tensor ", Quote(entry.name), ": expected its data at byte ", at,
                              " where the one before it ends, found ", entry.begin,
                              entry.begin < at ? " (overlap)" : " (hole)"));
    }
    at = entry.end;
  }
  if (at != buffer_size) {
    return Malformed(StrCat("expected ", at, " bytes of data after the header, found ", buffer_size,
                            at > buffer_size ? ": the file is cut short (a download that was not completed?)"
                                             : ": trailing bytes"));
  }
  return absl::OkStatus();
}

absl::Status CheckNames(const std::vector<SafetensorsEntry>& entries) {
  std::vector<std::string_view> names(entries.size());
  std::transform(entries.begin(), entries.end(), names.begin(),
                 [](const auto& entry) { return std::string_view(entry.name); });
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  if (twice != names.end()) return Malformed(StrCat("duplicate tensor name ", Quote(*twice)));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<uint64_t> SafetensorsHeaderLength(std::span<const std::byte> bytes, size_t file_size) {
  if (file_size < 8 || bytes.size() < 8) {
    return Malformed(StrCat("expected at least 8 bytes, found ", std::min(file_size, bytes.size())));
  }
  uint64_t length = 0;
  for (int i = 7; i >= 0; --i)
    length = length << 8 | std::to_integer<uint64_t>(bytes[static_cast<size_t>(i)]);
  if (length > kMaxHeaderBytes) {
    return Malformed(StrCat("header length: at most ", kMaxHeaderBytes, " bytes are read, found ", length,
                            ": is this a safetensors file?"));
  }
  if (length > file_size - 8) {
    return Malformed(
        StrCat("header length: ", length, " bytes do not fit into the file of ", file_size,
               " bytes: the file is cut short (a download that was not completed?), or no safetensors file"));
  }
  return length;
}

absl::StatusOr<SafetensorsHeader> ParseSafetensorsHeader(std::span<const std::byte> bytes, size_t file_size) {
  GH_ASSIGN_OR_RETURN(const uint64_t length, SafetensorsHeaderLength(bytes, file_size));
  if (bytes.size() - 8 < length) return Malformed("the header is cut short");
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()) + 8, length);
  if (!text.starts_with('{')) return Malformed("the header does not begin with '{'");
  // The JSON lexer would take a NUL for the end of the text.
  if (text.find('\0') != text.npos) return Malformed("the header contains a NUL character");

  HeaderReader reader;
  if (!Json::sax_parse(text.begin(), text.end(), &reader)) return Malformed(reader.refusal());
  SafetensorsHeader header = reader.Take();
  header.buffer_offset = 8 + length;
  GH_RETURN_IF_ERROR(CheckNames(header.entries));
  for (const SafetensorsEntry& entry : header.entries) GH_RETURN_IF_ERROR(CheckSize(entry));
  GH_RETURN_IF_ERROR(CheckLayout(header.entries, file_size - header.buffer_offset));
  return header;
}

}  // namespace guildhall
