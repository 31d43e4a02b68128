// The table of marks: what is aimed at, what is said and drawn of figures that are made up, and one real run.
#include "bench/speed_table.h"

#include <catch2/catch.hpp>
#include <cctype>

#include "bench/speed_report.h"
#include "bench/svg.h"

namespace guildhall {
namespace {

constexpr BenchCase kDecode1{BenchCase::Kind::kDecode, 1, 64}, kDecode32{BenchCase::Kind::kDecode, 32, 64},
    kPrefill512{BenchCase::Kind::kPrefill, 512, 0};

SpeedEntry Entry(const std::string& shape, const std::string& format, const BenchCase& c, double share,
                 const Mark& mark) {
  SpeedEntry entry{shape, format, "avx512", 2, {}, mark};
  entry.figures.bench_case = c;
  entry.figures.rows_per_second = {90.0, 100.0, 110.0};
  entry.figures.share = {share - 0.05, share, share + 0.05};
  entry.figures.gbps = entry.figures.read_gbps = {10.0};
  entry.figures.gflops = entry.figures.peak_gflops = {20.0};
  return entry;
}

SpeedTable MadeUp() {
  SpeedTable table;
  table.machines = {"cpu <best> & \"fast\""};
  table.rounds = 3;
  table.seconds = 0.5;
  table.entries = {Entry("olmoe", "bf16", kDecode1, 0.97, Mark::AtLeast(0.95)),
                   Entry("olmoe", "int8", kDecode1, 0.80, Mark::AtLeast(0.92)),
                   Entry("olmoe", "bf16", kPrefill512, 0.50, {}),
                   Entry("small", "bf16", kDecode1, 0.81, Mark::AtLeast(0.80))};
  table.adapters = {{"model", "bf16", {"LoRA", {0.97, 0.90, 1.0}, "speed", Mark::AtLeast(0.92)}},
                    {"model", "bf16", {"ESFT", {1.2, 1.1, 3.0}, "time", Mark::AtMost(1.03)}}};
  return table;
}

// Names of elements that are open at the end; fails the test where one closes that is not open, or where a
// character stands that must be escaped.
std::vector<std::string> OpenElements(const std::string& xml) {
  std::vector<std::string> open;
  for (size_t at = xml.find('<'); at != std::string::npos; at = xml.find('<', at + 1)) {
    const size_t end = xml.find('>', at);
    REQUIRE(end != std::string::npos);
    const std::string tag = xml.substr(at + 1, end - at - 1);
    REQUIRE(tag.find('<') == std::string::npos);
    const std::string name = tag.substr(0, tag.find(' '));
    if (name[0] == '/') {
      REQUIRE(!open.empty());
      REQUIRE("/" + open.back() == name);
      open.pop_back();
    } else if (tag.back() != '/') {
      open.push_back(name);
    }
  }
  for (size_t at = xml.find('&'); at != std::string::npos; at = xml.find('&', at + 1)) {
    REQUIRE(std::isalpha(static_cast<unsigned char>(xml[at + 1])));
  }
  return open;
}

size_t Count(const std::string& text, const std::string& piece) {
  size_t count = 0;
  for (size_t at = text.find(piece); at != std::string::npos; at = text.find(piece, at + 1)) ++count;
  return count;
}

}  // namespace

TEST_CASE("marks by case, format and level") {
  const auto mark = [](const BenchCase& c, WeightFormat format, bool avx512) {
    return CaseMark("olmoe", c, format, avx512).Text();
  };
  CHECK(mark(kDecode1, WeightFormat::kBF16, true) == ">= 0.95");
  CHECK(mark(kDecode1, WeightFormat::kInt4, false) == ">= 0.85");
  CHECK(mark(kDecode32, WeightFormat::kInt8, true) == ">= 0.80");
  CHECK(mark(kDecode32, WeightFormat::kInt8, false) == ">= 0.70");
  CHECK(mark(kPrefill512, WeightFormat::kBF16, true) == ">= 0.75");
  CHECK(mark(kPrefill512, WeightFormat::kInt4Offset, false) == ">= 0.60");
  CHECK(mark({BenchCase::Kind::kDecode, 4, 64}, WeightFormat::kBF16, true).empty());
  CHECK(mark(kDecode1, WeightFormat::kF32, true).empty());
  CHECK(CaseMark("small", kDecode1, WeightFormat::kInt8, true).Text() == ">= 0.80");
  CHECK_FALSE(CaseMark("small", kPrefill512, WeightFormat::kBF16, true).set());
  CHECK(Mark::AtMost(1.03).Reached(1.03));
  CHECK_FALSE(Mark::AtMost(1.03).Reached(1.04));
  CHECK_FALSE(Mark::AtLeast(0.9).Reached(0.89));
}

TEST_CASE("models share their rounds as far as memory goes, in their order") {
  using Groups = std::vector<std::vector<size_t>>;
  CHECK(GroupByMemory({1, 2, 3}, 10) == Groups{{0, 1, 2}});
  CHECK(GroupByMemory({6, 3, 2, 9}, 10) == Groups{{0, 1}, {2}, {3}});
  CHECK(GroupByMemory({20, 1}, 10) == Groups{{0}, {1}});
  CHECK(GroupByMemory({}, 10).empty());
}

TEST_CASE("the text says the median, the range, the mark and whether it is reached") {
  const std::string text = SpeedTableText(MadeUp());
  CHECK_THAT(text, Catch::Contains("0.97 (0.92 .. 1.02)") && Catch::Contains(">= 0.95 reached") &&
                       Catch::Contains(">= 0.92 NOT reached") && Catch::Contains("small, 2 layers, avx512") &&
                       Catch::Contains("<= 1.03  not reached"));
  CHECK(Count(text, "olmoe, 2 layers") == 1);
}

TEST_CASE("a level that reaches less of the bandwidth with one sequence than a lower level is warned of") {
  const auto entry = [](const std::string& isa, const std::string& format, const BenchCase& c, double gbps,
                        double read_gbps) {
    SpeedEntry made = Entry("olmoe", format, c, 0.9, {});
    made.isa = isa;
    made.figures.gbps = {gbps / 2.0, gbps, 2.0 * gbps};
    made.figures.read_gbps = {read_gbps, read_gbps, read_gbps};
    return made;
  };
  const auto slow = SlowLevels(
      {entry("avx512", "bf16", kDecode1, 17.0, 32.0), entry("avx512", "int8", kDecode1, 29.0, 32.0),
       entry("avx2", "bf16", kDecode1, 27.0, 30.0), entry("avx2", "int8", kDecode1, 28.0, 30.0)});
  REQUIRE(slow.size() == 1);
  CHECK(slow[0] ==
        "olmoe, bf16, decode 1: avx512 reaches 0.53 of the bandwidth, avx2 reaches 0.90 on this machine");
  // Not the other way round, not within the noise, not of batches, other formats or shapes.
  CHECK(
      SlowLevels({entry("avx512", "bf16", kDecode1, 29.0, 30.0), entry("avx2", "bf16", kDecode1, 10.0, 30.0),
                  entry("portable", "bf16", kDecode1, 10.3, 30.0)})
          .empty());
  CHECK(SlowLevels(
            {entry("avx512", "bf16", kDecode32, 10.0, 30.0), entry("avx2", "bf16", kDecode32, 20.0, 30.0)})
            .empty());
  SpeedEntry other = entry("avx2", "bf16", kDecode1, 20.0, 30.0);
  other.shape = "small";
  CHECK(SlowLevels({entry("avx512", "bf16", kDecode1, 10.0, 30.0),
                    entry("avx2", "int8", kDecode1, 20.0, 30.0), other})
            .empty());
  SpeedTable table = MadeUp();
  table.entries = {entry("avx512", "bf16", kDecode1, 17.0, 32.0),
                   entry("avx2", "bf16", kDecode1, 27.0, 30.0)};
  CHECK_THAT(SpeedTableText(table), Catch::Contains("WARNING: olmoe, bf16, decode 1: avx512 reaches 0.53"));
  CHECK(SpeedTableJson(table)["warnings"].size() == 1);
  CHECK(SpeedTableJson(MadeUp())["warnings"].empty());
}

TEST_CASE("the JSON says the same for programs") {
  const Json json = SpeedTableJson(MadeUp());
  REQUIRE(json["cases"].size() == 4);
  CHECK(json["cases"][0]["reached"] == true);
  CHECK(json["cases"][1]["reached"] == false);
  CHECK(json["cases"][1]["weights"] == "int8");
  CHECK(json["cases"][1]["share_low"] == Approx(0.75));
  CHECK_FALSE(json["cases"][2].contains("mark"));
  CHECK(json["adapters"][1]["ratio"] == 1.2);
  CHECK(json["adapters"][1]["reached"] == false);
}

TEST_CASE("the picture is whole: a bar for each case, a line for each mark, every text escaped") {
  const SpeedTable table = MadeUp();
  const std::string svg = SpeedTableSvg(table);
  CHECK(OpenElements(svg).empty());
  CHECK(Count(svg, " rows/s, share") == table.entries.size());
  CHECK(Count(svg, "<circle") == table.adapters.size());
  // Three marks of cases, two of adapters, one in the legend.
  CHECK(Count(svg, "stroke-width=\"3.0\"") == 6);
  CHECK_THAT(svg, Catch::Contains("cpu &lt;best&gt; &amp; &quot;fast&quot;"));
  CHECK(OpenElements(SpeedTableSvg({})).empty());
}

TEST_CASE("one small model is measured in every format, level and case that is asked for") {
  SpeedTableOptions options;
  options.shapes = {"small"};
  options.formats = {"bf16"};
  options.levels = {"portable", "portable"};
  options.layers = 1;
  options.decode = {2};
  options.prefill = {16};
  options.threads = 1;
  options.rounds = 2;
  options.seconds = 0.01;
  options.adapters = false;
  std::vector<std::string> said;
  const auto table = MeasureSpeedTable(options, [&](const std::string& line) { said.push_back(line); });
  REQUIRE(table.ok());
  CHECK(said.size() == 2);
  REQUIRE(table->entries.size() == 2 * 2);
  for (const SpeedEntry& entry : table->entries) {
    CHECK(entry.isa == "portable");
    CHECK(entry.figures.rows_per_second.size() == 2);
    for (const double share : entry.figures.share) CHECK((share > 0.0 && share < 3.0));
  }
  options.formats = {"int7"};
  CHECK(MeasureSpeedTable(options, [](const std::string&) {}).status().code() ==
        absl::StatusCode::kInvalidArgument);
}

}  // namespace guildhall
