// A load of an adapter from files, whole and in parts.
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>

#include "bench/adapter_bench.h"

namespace guildhall {

TEST_CASE("a load is measured against reading its files, and each of its parts against the load") {
  AdapterBenchOptions options;
  options.shape = "small";
  options.layers = 1;
  options.backend.cpu.threads = 1;
  options.rounds = 1;
  options.seconds = 0.001;
  options.only = {"files"};
  const auto folders = [] {
    size_t count = 0;
    for (const auto& entry : std::filesystem::directory_iterator(std::filesystem::temp_directory_path()))
      count += entry.path().filename().string().starts_with("guildhall-bench-" + std::to_string(getpid()));
    return count;
  };
  const size_t before = folders();
  std::vector<AdapterFigure> figures;
  auto bench = AdapterBench::Make(options);
  REQUIRE(bench.ok());
  REQUIRE((*bench)->Run([&](const AdapterFigure& figure) { figures.push_back(figure); }).ok());
  REQUIRE(figures.size() == 7);
  CHECK(figures[0].name == "load of an ESFT folder, not in the page cache");
  CHECK(figures[0].mark.Text() == "<= 1.20");
  CHECK(figures[1].name == "load of an ESFT folder, in the page cache");
  CHECK(figures[1].mark.Text() == "<= 2.00");
  for (const AdapterFigure& figure : figures) CHECK(figure.ratio.median > 0.0);
  CHECK_THAT(figures[5].name, Catch::Contains("packing"));
  CHECK(folders() == before);
}

}  // namespace guildhall
