#include "checkpoint/safetensors.h"

#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstring>
#include <span>
#include <string>

#include "tests/checkpoint/tiny_folder.h"

namespace guildhall {
namespace {

using Catch::Matchers::Contains;

absl::StatusOr<SafetensorsHeader> Parse(const std::string& file) {
  return ParseSafetensorsHeader(std::as_bytes(std::span(file)), file.size());
}

// The message of a file that must be refused.
std::string Refusal(const std::string& file) {
  const auto header = Parse(file);
  if (header.ok()) return "accepted";
  REQUIRE(header.status().code() == absl::StatusCode::kInvalidArgument);
  return std::string(header.status().message());
}

std::string RefusalOf(const std::string& header, const std::string& buffer = "") {
  return Refusal(SafetensorsBytes(header, buffer));
}

// {"x": {"dtype": ..., "shape": ..., "data_offsets": ...}}
std::string One(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return R"({"x":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}}";
}

TEST_CASE("safetensors: entries come by offset, with dtype, shape and metadata") {
  const auto header = Parse(SafetensorsBytes(
      R"({"b":{"data_offsets":[8,12],"shape":[2],"dtype":"BF16"},"__metadata__":{"format":"pt","k":"v"},)"
      R"("a":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]}}   )",
      std::string(12, 'x')));
  REQUIRE(header.ok());
  REQUIRE(header->entries.size() == 2);
  CHECK(header->entries[0].name == "a");
  CHECK(header->entries[0].dtype == "F32");
  CHECK(header->entries[0].shape == std::vector<int64_t>{1, 2});
  CHECK(header->entries[0].begin == 0);
  CHECK(header->entries[0].end == 8);
  CHECK(header->entries[1].name == "b");
  CHECK(header->metadata == std::map<std::string, std::string>{{"format", "pt"}, {"k", "v"}});
}

TEST_CASE("safetensors: no tensors, scalars, zero dims, padding and packed bits are valid") {
  CHECK(Refusal(SafetensorsBytes("{}", "")) == "accepted");
  CHECK(Refusal(SafetensorsBytes("{}        ", "")) == "accepted");
  CHECK(RefusalOf(R"({"__metadata__":{}})") == "accepted");
  CHECK(RefusalOf(One("F32", "[]", "[0,4]"), "1234") == "accepted");
  CHECK(RefusalOf(One("F32", "[0,9223372036854775807]", "[0,0]")) == "accepted");
  CHECK(RefusalOf(One("F4", "[4]", "[0,2]"), "12") == "accepted");
  CHECK(
      RefusalOf(
          R"({"b":{"dtype":"U8","shape":[0],"data_offsets":[1,1]},"c":{"dtype":"U8","shape":[1],"data_offsets":[1,2]},)"
          R"("a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})",
          "12") == "accepted");
}

TEST_CASE("safetensors: ten names on the same bytes are an overlap") {
  std::string header = "{";
  for (int i = 0; i < 10; ++i) {
    header +=
        (i ? ",\"" : "\"") + std::to_string(i) + R"(":{"dtype":"F32","shape":[1],"data_offsets":[0,4]})";
  }
  CHECK_THAT(RefusalOf(header + "}", "1234"),
             Contains("expected its data at byte 4") && Contains("found 0 (overlap)"));
}

TEST_CASE("safetensors: holes, a late begin, trailing bytes and missing bytes are refused") {
  const std::string two =
      R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[3,5]}})";
  CHECK_THAT(RefusalOf(two, "12345"), Contains("\"b\"") && Contains("byte 2") && Contains("found 3 (hole)"));
  CHECK_THAT(RefusalOf(One("U8", "[2]", "[1,3]"), "123"), Contains("byte 0"));
  CHECK_THAT(RefusalOf(One("F32", "[1]", "[0,4]"), "123456"),
             Contains("expected 4 bytes of data after the header, found 6: trailing bytes"));
  CHECK_THAT(RefusalOf(One("F32", "[1]", "[0,4]"), "12"), Contains("found 2: the file is cut short"));
  CHECK_THAT(RefusalOf("{}", "1"), Contains("trailing bytes"));
}

TEST_CASE("safetensors: header lengths that cannot be are refused before anything is allocated") {
  CHECK_THAT(Refusal(""), Contains("expected at least 8 bytes, found 0"));
  CHECK_THAT(Refusal("1234567"), Contains("found 7"));
  CHECK_THAT(Refusal(std::string(8, '\xff')), Contains("found 18446744073709551615"));
  CHECK_THAT(Refusal(std::string("\x03\0\0\0\0\0\0\0{}", 10)),
             Contains("3 bytes do not fit into the file of 10 bytes"));
  CHECK_THAT(Refusal(std::string(8, '\0')), Contains("does not begin with '{'"));
  const std::string file = SafetensorsBytes("{}  ", "");
  const auto cut = ParseSafetensorsHeader(std::as_bytes(std::span(file)).first(10), file.size());
  CHECK_THAT(std::string(cut.status().message()), Contains("cut short"));
}

TEST_CASE("safetensors: text that is not a JSON object of tensors is refused") {
  CHECK_THAT(RefusalOf("{"), Contains("not valid JSON"));
  CHECK_THAT(RefusalOf("[]"), Contains("does not begin with '{'"));
  CHECK_THAT(RefusalOf(" {}"), Contains("does not begin with '{'"));
  CHECK_THAT(RefusalOf("{} x"), Contains("not valid JSON"));
  CHECK_THAT(RefusalOf(std::string("{}\0x", 4)), Contains("NUL"));
  CHECK_THAT(RefusalOf("{\"\xff\xfe\":1}"), Contains("ill-formed UTF-8"));
  CHECK_THAT(RefusalOf(R"({"x":1})"), Contains("tensor \"x\": expected an object, found 1"));
  CHECK_THAT(RefusalOf(R"({"x":[]})"), Contains("found a list"));
  CHECK_THAT(RefusalOf(R"({"x":{"dtype":"F32","shape":[]}})"), Contains("data_offsets is missing"));
  CHECK_THAT(RefusalOf(R"({"x":{"dtype":"F32","data_offsets":[0,4]}})", "1234"),
             Contains("shape is missing"));
  CHECK_THAT(RefusalOf(R"({"x":{"shape":[],"data_offsets":[0,4]}})", "1234"), Contains("dtype is missing"));
  CHECK_THAT(RefusalOf(R"({"x":{"dtype":"F32","shape":[],"data_offsets":[0,4],"stride":1}})", "1234"),
             Contains("unknown key \"stride\""));
  CHECK_THAT(RefusalOf(R"({"x":{"dtype":{},"shape":[],"data_offsets":[0,4]}})", "1234"),
             Contains("found an object"));
  CHECK_THAT(RefusalOf(R"({"x":{"dtype":4,"shape":[],"data_offsets":[0,4]}})", "1234"),
             Contains("dtype: expected a string, found 4"));
}

TEST_CASE("safetensors: duplicate names and keys are refused at every level") {
  const std::string x = R"("x":{"dtype":"U8","shape":[1],"data_offsets":[0,1]})";
  const std::string y = R"("\u0078":{"dtype":"U8","shape":[1],"data_offsets":[1,2]})";
  CHECK_THAT(RefusalOf("{" + x + "," + y + "}", "12"), Contains("duplicate tensor name \"x\""));
  CHECK_THAT(RefusalOf(R"({"x":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}})", "1"),
             Contains("tensor \"x\": duplicate key \"dtype\""));
  CHECK_THAT(RefusalOf(R"({"__metadata__":{"a":"1","a":"2"}})"), Contains("duplicate key \"a\""));
  CHECK_THAT(RefusalOf(R"({"__metadata__":{},"__metadata__":{}})"),
             Contains("duplicate key \"__metadata__\""));
}

TEST_CASE("safetensors: metadata maps strings to strings") {
  CHECK_THAT(RefusalOf(R"({"__metadata__":{"a":1}})"), Contains("\"a\": expected a string, found 1"));
  CHECK_THAT(RefusalOf(R"({"__metadata__":{"a":{}}})"), Contains("expected a string"));
  CHECK_THAT(RefusalOf(R"({"__metadata__":"a"})"), Contains("expected an object"));
}

TEST_CASE("safetensors: dims are integers from 0 whose product is counted in 63 bits") {
  for (const char* dim : {"-1", "1.5", "1e30", "\"2\"", "null", "true", "[1]", "{}", "18446744073709551615",
                          "18446744073709551616", "9223372036854775808"}) {
    INFO(dim);
    CHECK_THAT(RefusalOf(One("F32", "[" + std::string(dim) + "]", "[0,4]"), "1234"),
               Contains("tensor \"x\": shape: expected integers from 0 to 2^63-1, found"));
  }
  CHECK_THAT(RefusalOf(One("F32", "[2,18446744073709551614]", "[0,4]"), "1234"),
             Contains("18446744073709551614"));
  CHECK_THAT(RefusalOf(One("F32", "[2,9223372036854775807]", "[0,4]"), "1234"),
             Contains("[2, 9223372036854775807] has more elements than 64 bits count"));
  CHECK_THAT(RefusalOf(One("F32", "[2,4611686018427387904]", "[0,4]"), "1234"), Contains("more elements"));
  CHECK_THAT(RefusalOf(One("F32", "[4611686018427387904]", "[0,4]"), "1234"),
             Contains("more bits than 64 bits count"));
  CHECK_THAT(RefusalOf(One("F32", "4", "[0,4]"), "1234"), Contains("shape: expected a list, found 4"));
}

TEST_CASE("safetensors: offsets are two integers whose difference is the size of the tensor") {
  CHECK_THAT(RefusalOf(One("F32", "[1]", "[0,8]"), "12345678"),
             Contains("tensor \"x\": expected 4 bytes for F32 [1], found 8"));
  CHECK_THAT(RefusalOf(One("F32", "[1]", "[4,0]"), "1234"), Contains("the end 0 is before the begin 4"));
  CHECK_THAT(RefusalOf(One("F32", "[1]", "[0]"), "1234"), Contains("two integers"));
  CHECK_THAT(RefusalOf(One("F32", "[1]", "[]"), "1234"), Contains("two integers"));
  CHECK_THAT(RefusalOf(One("F32", "[1]", "[0,4,8]"), "1234"), Contains("two integers"));
  CHECK_THAT(RefusalOf(One("F32", "[1]", "[0,-4]"), "1234"), Contains("two integers from 0, found -4"));
  CHECK_THAT(RefusalOf(One("F32", "[1]", "[0,4.0]"), "1234"), Contains("two integers"));
  CHECK_THAT(RefusalOf(One("F32", "[1]", "[0,18446744073709551615]"), "1234"),
             Contains("found 18446744073709551615"));
  CHECK_THAT(RefusalOf(One("F4", "[3]", "[0,1]"), "1"), Contains("12 bits are no whole number of bytes"));
  CHECK_THAT(RefusalOf(One("F128", "[1]", "[0,16]"), std::string(16, 'x')),
             Contains("\"F128\" is not one of the format"));
}

TEST_CASE("safetensors: a million levels of nesting end at the first that is too deep") {
  CHECK_THAT(RefusalOf("{\"x\":" + std::string(1000000, '[')), Contains("found a list"));
  std::string objects = "{\"x\":";
  for (int i = 0; i < 200000; ++i) objects += "{\"shape\":";
  CHECK_THAT(RefusalOf(objects), Contains("shape: expected a list, found an object"));
  CHECK_THAT(RefusalOf("{\"x\":{\"shape\":" + std::string(1000000, '[')), Contains("found a list"));
}

TEST_CASE("safetensors: a million tensors are read in time that is no square") {
  std::string header = "{";
  for (int i = 0; i < 1000000; ++i) {
    const std::string at = std::to_string(i);
    header += (i ? ",\"t" : "\"t") + at + R"(":{"dtype":"U8","shape":[1],"data_offsets":[)" + at + "," +
              std::to_string(i + 1) + "]}";
  }
  const auto parsed = Parse(SafetensorsBytes(header + "}", std::string(1000000, 'x')));
  REQUIRE(parsed.ok());
  CHECK(parsed->entries.size() == 1000000);
}

TEST_CASE("safetensors: a name of a megabyte is read, and cut in messages") {
  const std::string name(1000000, 'n');
  const std::string entry = R"(":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})";
  CHECK(RefusalOf("{\"" + name + entry, "1234") == "accepted");
  CHECK(RefusalOf("{\"" + name + entry, "12345678").size() < 1000);
  const std::string wrong = R"(":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})";
  CHECK(RefusalOf("{\"" + name + wrong, "1234").size() < 1000);
}

TEST_CASE("safetensors file: tensors by name, views into the mapping, reads beside it") {
  const TestFolder folder;
  folder.Write("a.safetensors",
               SafetensorsBytes(TestTensors{{"x", Counting({2, 3})}, {"y", Counting({4}, 10)}}));
  const auto file = SafetensorsFile::Open(folder.Path("a.safetensors"));
  REQUIRE(file.ok());
  CHECK((*file)->Find("z") == nullptr);
  const SafetensorsEntry* y = (*file)->Find("y");
  REQUIRE(y != nullptr);
  const auto view = (*file)->View(*y);
  REQUIRE(view.ok());
  CHECK(view->dtype == DType::kF32);
  CHECK(LoadElement(view->data, view->dtype, 3) == 13.0f);
  std::vector<std::byte> copy(view->Bytes());
  REQUIRE((*file)->Read(*view, copy).ok());
  CHECK(std::memcmp(copy.data(), view->data, copy.size()) == 0);
}

TEST_CASE("safetensors file: a dtype that is not served is refused with the cure") {
  const TestFolder folder;
  folder.Write("a.safetensors",
               SafetensorsBytes(TestTensors{{"x", {"F8_E4M3", {4}, "1234"}}, {"y", {"I64", {0}, ""}}}));
  const auto file = SafetensorsFile::Open(folder.Path("a.safetensors"));
  REQUIRE(file.ok());
  const absl::Status fp8 = (*file)->View(*(*file)->Find("x")).status();
  CHECK(fp8.code() == absl::StatusCode::kFailedPrecondition);
  CHECK_THAT(std::string(fp8.message()), Contains("F8_E4M3") && Contains("convert the checkpoint to BF16"));
  CHECK_THAT(std::string((*file)->View(*(*file)->Find("y")).status().message()), Contains("found I64"));
}

TEST_CASE("safetensors file: a file cut or rewritten after it was opened is DATA_LOSS and no signal") {
  const TestFolder folder;
  const std::string path = folder.Path("a.safetensors");
  folder.Write("a.safetensors", SafetensorsBytes(TestTensors{{"x", Counting({5000})}}));
  const auto file = SafetensorsFile::Open(path);
  REQUIRE(file.ok());
  CHECK((*file)->CheckUnchanged().ok());
  const auto view = (*file)->View((*file)->header().entries[0]);
  REQUIRE(view.ok());
  REQUIRE(truncate(path.c_str(), 5000) == 0);
  std::vector<std::byte> copy(view->Bytes());
  const absl::Status status = (*file)->Read(*view, copy);
  CHECK(status.code() == absl::StatusCode::kDataLoss);
  CHECK_THAT(std::string(status.message()), Contains("cut short"));
  CHECK((*file)->CheckUnchanged().code() == absl::StatusCode::kDataLoss);
}

TEST_CASE("safetensors file: messages name the file, what is no regular file is refused") {
  const TestFolder folder;
  folder.Write("bad.safetensors", std::string("1234"));
  const std::string bad = folder.Path("bad.safetensors");
  CHECK_THAT(std::string(SafetensorsFile::Open(bad).status().message()),
             Contains(bad) && Contains("at least 8 bytes"));
  folder.Write("empty.safetensors", std::string());
  CHECK(SafetensorsFile::Open(folder.Path("empty.safetensors")).status().code() ==
        absl::StatusCode::kInvalidArgument);
  CHECK(SafetensorsFile::Open(folder.path()).status().code() == absl::StatusCode::kFailedPrecondition);
  CHECK(SafetensorsFile::Open(folder.Path("absent")).status().code() == absl::StatusCode::kNotFound);
  REQUIRE(mkfifo(folder.Path("fifo").c_str(), 0600) == 0);
  CHECK(SafetensorsFile::Open(folder.Path("fifo")).status().code() == absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace guildhall
