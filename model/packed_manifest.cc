#include "model/packed_manifest.h"

#include <charconv>
#include <limits>
#include <set>

#include "base/align.h"
#include "base/json.h"
#include "base/status.h"
#include "base/str_cat.h"

namespace guildhall {
namespace {

constexpr char kWhat[] = "packed.json";
constexpr char kFormat[] = "guildhall-packed";
constexpr int64_t kVersion = 1;
constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
constexpr int64_t kMostSide = int64_t{1} << 40;

std::string Hex(uint32_t value) {
  std::string text(8, '0');
  for (size_t i = 8; i-- > 0; value >>= 4) text[i] = "0123456789abcdef"[value & 0xf];
  return text;
}

absl::StatusOr<uint32_t> ReadHex(const JsonObject& object, std::string_view key) {
  GH_ASSIGN_OR_RETURN(const std::string text, object.String(key));
  uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  if (text.size() != 8 || error != std::errc() || end != text.data() + text.size()) {
    return object.Error(key, StrCat("expected 8 hexadecimal digits, found ", Quote(text)));
  }
  return value;
}

absl::StatusOr<uint64_t> ReadSize(const JsonObject& object, std::string_view key) {
  GH_ASSIGN_OR_RETURN(const int64_t value, object.Int(key, 0, kMost));
  return static_cast<uint64_t>(value);
}

absl::StatusOr<WeightFormat> ReadFormat(const JsonObject& object, std::string_view key) {
  GH_ASSIGN_OR_RETURN(const std::string name, object.String(key));
  const auto format = ParseWeightFormat(name);
  if (!format) return object.Error(key, StrCat("expected a weight format, found ", Quote(name)));
  return *format;
}

absl::StatusOr<DType> ReadDType(const JsonObject& object, std::string_view key) {
  GH_ASSIGN_OR_RETURN(const WeightFormat format, ReadFormat(object, key));
  if (IsQuantized(format)) return object.Error(key, "expected f32, bf16 or f16");
  return DTypeOf(format);
}

// Each element of an array of objects, read whole.
template <typename T, typename Read>
absl::StatusOr<std::vector<T>> ReadObjects(const JsonObject& object, std::string_view key, Read read) {
  const Json* list = object.Find(key);
  if (list == nullptr || !list->is_array()) return object.Error(key, "expected an array of objects");
  std::vector<T> values;
  for (size_t i = 0; i < list->size(); ++i) {
    GH_ASSIGN_OR_RETURN(const JsonObject element,
                        JsonObject::From((*list)[i], kWhat, StrCat(key, "[", i, "]")));
    GH_ASSIGN_OR_RETURN(T value, read(element));
    GH_RETURN_IF_ERROR(element.CheckAllRead());
    values.push_back(std::move(value));
  }
  return values;
}

absl::StatusOr<PackedTensor> ReadTensor(const JsonObject& object) {
  PackedTensor tensor;
  GH_ASSIGN_OR_RETURN(tensor.name, object.String("name"));
  GH_ASSIGN_OR_RETURN(tensor.format, ReadFormat(object, "format"));
  GH_ASSIGN_OR_RETURN(tensor.out, object.Int("out", 1, kMostSide));
  GH_ASSIGN_OR_RETURN(tensor.in, object.Int("in", 1, kMostSide));
  GH_ASSIGN_OR_RETURN(tensor.offset, ReadSize(object, "offset"));
  GH_ASSIGN_OR_RETURN(tensor.bytes, ReadSize(object, "bytes"));
  GH_ASSIGN_OR_RETURN(tensor.checksum, ReadHex(object, "crc32c"));
  return tensor;
}

absl::StatusOr<PackedSource> ReadSource(const JsonObject& object) {
  PackedSource source;
  GH_ASSIGN_OR_RETURN(source.name, object.String("name"));
  GH_ASSIGN_OR_RETURN(source.bytes, ReadSize(object, "bytes"));
  GH_ASSIGN_OR_RETURN(source.checksum, ReadHex(object, "crc32c"));
  return source;
}

absl::StatusOr<std::map<WeightFormat, uint32_t>> ReadLayouts(const JsonObject& object) {
  std::map<WeightFormat, uint32_t> layouts;
  for (int i = 0; i < kWeightFormats; ++i) {
    const auto format = static_cast<WeightFormat>(i);
    const std::string_view name = WeightFormatName(format);
    object.MarkRead(name);
    if (!object.Has(name)) continue;
    GH_ASSIGN_OR_RETURN(layouts[format], ReadHex(object, name));
  }
  GH_RETURN_IF_ERROR(object.CheckAllRead());
  return layouts;
}

// "cpu/avx512". Folders of the first releases name the level alone, as "isa".
absl::StatusOr<std::string> ReadLayout(const JsonObject& object) {
  if (!object.Has("layout") && object.Has("isa")) {
    GH_ASSIGN_OR_RETURN(const std::string level, object.String("isa"));
    return StrCat("cpu/", level);
  }
  GH_ASSIGN_OR_RETURN(std::string layout, object.String("layout"));
  if (layout.find('/') == std::string::npos)
    return object.Error("layout", StrCat("expected DEVICE/LEVEL, found ", Quote(layout)));
  return layout;
}

absl::StatusOr<WeightFormats> ReadFormats(const JsonObject& object) {
  WeightFormats formats;
  for (const WeightKind& kind : kWeightKinds) {
    object.MarkRead(kind.name);
    if (!object.Has(kind.name)) continue;
    GH_ASSIGN_OR_RETURN(formats.*kind.format, ReadFormat(object, kind.name));
  }
  GH_RETURN_IF_ERROR(object.CheckAllRead());
  return formats;
}

absl::Status CheckPlaces(const PackedManifest& manifest) {
  std::set<std::string_view> names;
  uint64_t end = 0;
  for (const PackedTensor& tensor : manifest.tensors) {
    const auto damage = [&](const auto&... what) {
      return absl::DataLossError(StrCat(kWhat, ": tensor ", Quote(tensor.name), ": ", what...,
                                        ": the manifest is damaged; write the folder again"));
    };
    if (!names.insert(tensor.name).second) return damage("expected once, found twice");
    if (tensor.offset % kAlignment != 0)
      return damage("expected an offset that is a multiple of ", kAlignment, ", found ", tensor.offset);
    if (tensor.offset < end)
      return damage("expected to begin at ", end, " or later, found ", tensor.offset,
                    ", where another one is");
    if (tensor.offset > manifest.bytes || tensor.bytes > manifest.bytes - tensor.offset) {
      return damage("expected to end within ", manifest.bytes, " bytes, found ", tensor.bytes, " bytes at ",
                    tensor.offset);
    }
    if (!manifest.layouts.contains(tensor.format))
      return damage("expected the layout of ", WeightFormatName(tensor.format), ", found none");
    end = tensor.offset + tensor.bytes;
  }
  return absl::OkStatus();
}

}  // namespace

std::string FormatPackedManifest(const PackedManifest& manifest) {
  Json json{{"format", kFormat},
            {"version", kVersion},
            {"tool", manifest.tool},
            {"layout", manifest.layout},
            {"dtype", WeightFormatName(FormatOf(manifest.dtype))},
            {"weights", Json::object()},
            {"layouts", Json::object()},
            {"bytes", manifest.bytes},
            {"sources", Json::array()},
            {"tensors", Json::array()}};
  for (const WeightKind& kind : kWeightKinds) {
    const auto& format = manifest.formats.*kind.format;
    if (format) json["weights"][std::string(kind.name)] = WeightFormatName(*format);
  }
  for (const auto& [format, checksum] : manifest.layouts)
    json["layouts"][std::string(WeightFormatName(format))] = Hex(checksum);
  for (const PackedSource& source : manifest.sources) {
    json["sources"].push_back(
        {{"name", source.name}, {"bytes", source.bytes}, {"crc32c", Hex(source.checksum)}});
  }
  for (const PackedTensor& tensor : manifest.tensors) {
    json["tensors"].push_back({{"name", tensor.name},
                               {"format", WeightFormatName(tensor.format)},
                               {"out", tensor.out},
                               {"in", tensor.in},
                               {"offset", tensor.offset},
                               {"bytes", tensor.bytes},
                               {"crc32c", Hex(tensor.checksum)}});
  }
  return DumpJson(json, 1) + "\n";
}

absl::StatusOr<PackedManifest> ParsePackedManifest(std::string_view text) {
  GH_ASSIGN_OR_RETURN(const Json json, ParseJson(text, kWhat));
  GH_ASSIGN_OR_RETURN(const JsonObject object, JsonObject::From(json, kWhat));
  GH_ASSIGN_OR_RETURN(const std::string format, object.String("format"));
  if (format != kFormat)
    return object.Error("format", StrCat("expected ", kFormat, ", found ", Quote(format)));
  GH_ASSIGN_OR_RETURN(const int64_t version, object.Int("version", 0, kMost));
  if (version != kVersion) {
    return absl::FailedPreconditionError(StrCat(kWhat, ": version: expected ", kVersion, ", found ", version,
                                                ": write the folder again with this program"));
  }
  PackedManifest manifest;
  GH_ASSIGN_OR_RETURN(manifest.tool, object.String("tool"));
  GH_ASSIGN_OR_RETURN(manifest.layout, ReadLayout(object));
  GH_ASSIGN_OR_RETURN(manifest.dtype, ReadDType(object, "dtype"));
  GH_ASSIGN_OR_RETURN(const JsonObject weights, object.Object("weights"));
  GH_ASSIGN_OR_RETURN(manifest.formats, ReadFormats(weights));
  GH_ASSIGN_OR_RETURN(const JsonObject layouts, object.Object("layouts"));
  GH_ASSIGN_OR_RETURN(manifest.layouts, ReadLayouts(layouts));
  GH_ASSIGN_OR_RETURN(manifest.bytes, ReadSize(object, "bytes"));
  GH_ASSIGN_OR_RETURN(manifest.sources, ReadObjects<PackedSource>(object, "sources", ReadSource));
  GH_ASSIGN_OR_RETURN(manifest.tensors, ReadObjects<PackedTensor>(object, "tensors", ReadTensor));
  GH_RETURN_IF_ERROR(object.CheckAllRead());
  GH_RETURN_IF_ERROR(CheckPlaces(manifest));
  return manifest;
}

}  // namespace guildhall
