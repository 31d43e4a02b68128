#include "base/cpu_placement.h"

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <string>

using namespace guildhall;

namespace {

using Lists = std::vector<std::vector<int>>;

std::vector<int> Cpus(int count) {
  std::vector<int> cpus(static_cast<size_t>(count));
  std::iota(cpus.begin(), cpus.end(), 0);
  return cpus;
}

}  // namespace

TEST_CASE("lists of CPUs are read as the system writes them, and odd text ends them") {
  CHECK(ParseCpuList("0-2,5\n") == std::vector<int>{0, 1, 2, 5});
  CHECK(ParseCpuList("7") == std::vector<int>{7});
  CHECK(ParseCpuList("").empty());
  CHECK(ParseCpuList("none").empty());
  CHECK(ParseCpuList("1,x,3") == std::vector<int>{1});
  CHECK(ParseCpuList("3-1").empty());
  CHECK(ParseCpuList("0-99999999").empty());
}

TEST_CASE("nodes are the folders that have CPUs, in the order of their numbers") {
  const auto root = std::filesystem::temp_directory_path() / "guildhall_cpu_nodes_test";
  std::filesystem::remove_all(root);
  for (const auto& [name, list] :
       {std::pair("node10", "4-5"), std::pair("node0", "0,2"), std::pair("node1", "1,3"),
        std::pair("node2", ""), std::pair("nodes", "9"), std::pair("power", "8")}) {
    std::filesystem::create_directories(root / name);
    std::ofstream(root / name / "cpulist") << list << "\n";
  }
  CHECK(CpuNodes(root.string()) == Lists{{0, 2}, {1, 3}, {4, 5}});
  std::filesystem::remove_all(root);
  CHECK(CpuNodes(root.string()) == Lists{{}});
}

TEST_CASE("a team as large as the allowed CPUs gets one each") {
  const CpuPlacement placement = PlaceWorkers(3, std::vector<int>{0, 1, 5}, {{}});
  CHECK(placement.cpus == Lists{{0}, {1}, {5}});
  CHECK(placement.text == "bound to CPUs 0-1,5");
}

TEST_CASE("with several nodes the CPUs are taken from each in turn") {
  const CpuPlacement placement = PlaceWorkers(5, Cpus(5), {{0, 1, 2}, {3, 4}});
  CHECK(placement.cpus == Lists{{0}, {3}, {1}, {4}, {2}});
  CHECK(placement.text == "bound to CPUs 0-4 of 2 memory nodes");
}

TEST_CASE("a team that is smaller or larger than the allowed CPUs is not bound to any of them") {
  const CpuPlacement smaller = PlaceWorkers(2, Cpus(4), {Cpus(4)});
  CHECK(smaller.cpus.empty());
  CHECK(smaller.text == "not bound: fewer threads than the 4 allowed CPUs");
  const CpuPlacement larger = PlaceWorkers(8, Cpus(4), {Cpus(4)});
  CHECK(larger.cpus.empty());
  CHECK(larger.text == "not bound: more threads than the 4 allowed CPUs");
  CHECK(PlaceWorkers(2, {}, {{}}).cpus.empty());
}

TEST_CASE("a smaller team is spread over the nodes, whole nodes at a time") {
  // CPU 7 exists and is not allowed here.
  const CpuPlacement placement = PlaceWorkers(3, Cpus(6), {{0, 2, 4}, {1, 3, 5, 7}});
  CHECK(placement.cpus == Lists{{0, 2, 4}, {1, 3, 5}, {0, 2, 4}});
  CHECK(placement.text == "bound in turn to 2 memory nodes");
}

TEST_CASE("allowed CPUs that no node names are used, too") {
  CHECK(PlaceWorkers(4, Cpus(4), {{0, 1}}).cpus == Lists{{0}, {2}, {1}, {3}});
}
