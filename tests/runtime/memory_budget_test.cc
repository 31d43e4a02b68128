// The KV budget: the arithmetic by hand, the system's files by example.
#include "runtime/memory_budget.h"

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

#include "kernels/cpu/available_memory.h"
#include "tests/support/temp_folder.h"

namespace guildhall {
namespace {

constexpr uint64_t kGiB = uint64_t{1} << 30;

TEST_CASE("Amounts of memory in every form") {
  const auto bytes = [](const char* text) {
    const auto amount = ParseMemoryAmount(text);
    INFO(text);
    REQUIRE(amount.ok());
    REQUIRE(amount->kind == MemoryAmount::Kind::kBytes);
    return amount->bytes;
  };
  CHECK(bytes("4GiB") == 4 * kGiB);
  CHECK(bytes(" 4 gib ") == 4 * kGiB);
  CHECK(bytes("1.5 GB") == 1500000000);
  CHECK(bytes("512MiB") == 512 * (kGiB >> 10));
  CHECK(bytes("2G") == 2 * kGiB);
  CHECK(bytes("123456") == 123456);
  CHECK(bytes("10 kB") == 10000);
  CHECK(ParseMemoryAmount("60%")->share == Approx(0.6));
  CHECK(ParseMemoryAmount("100 %")->share == Approx(1.0));
  CHECK(ParseMemoryAmount("auto")->kind == MemoryAmount::Kind::kAuto);
  for (const char* bad :
       {"", "0", "-1", "GiB", "4XiB", "101%", "0%", "nan", "inf", "1e30TiB", "0x10", "4GiB 1", "%"}) {
    INFO(bad);
    const auto amount = ParseMemoryAmount(bad);
    CHECK(amount.status().code() == absl::StatusCode::kInvalidArgument);
  }
}

KvBudgetQuestion Question(const char* budget) {
  return {.budget = budget,
          .available = {.bytes = 10 * kGiB, .source = "MemAvailable"},
          .weights = 3 * kGiB,
          .step = kGiB,
          .block_bytes = 1 << 20,
          .context = 4096,
          .max_sequences = 64,
          .must_hold = 0};
}

TEST_CASE("A share is of what the weights leave, bytes are bytes, auto is 80 %") {
  auto budget = PlanKvBudget(Question("50%"));
  REQUIRE(budget.ok());
  CHECK(budget->blocks == 3072);
  CHECK(budget->bytes == 3 * kGiB);
  CHECK(budget->text ==
        "10.0 GiB available (MemAvailable) - 3.0 GiB weights - 1.0 GiB step = 6.0 GiB; KV cache and "
        "adapters 50.0% of it = 3.0 GiB = 3072 blocks of 1.0 MiB (16 tokens): 3.0 GiB for 49152 tokens; "
        "256.0 MiB are the KV cache's alone");
  CHECK(budget->total == 3 * kGiB);
  CHECK(budget->min_blocks == 256);
  budget = PlanKvBudget(Question("1.5GiB"));
  REQUIRE(budget.ok());
  CHECK(budget->blocks == 1536);
  budget = PlanKvBudget(Question("auto"));
  REQUIRE(budget.ok());
  CHECK(budget->blocks == 4915);  // floor(4915.2)
}

TEST_CASE("No more blocks than all sequences at full length can use") {
  KvBudgetQuestion question = Question("100%");
  question.max_sequences = 2;
  const auto budget = PlanKvBudget(question);
  REQUIRE(budget.ok());
  CHECK(budget->blocks == 512);
  CHECK(budget->total == 6 * kGiB);  // adapters can use the rest
  CHECK(
      budget->text.find("of which 512 are of use (2 sequences of 4096 tokens): 512.0 MiB for 8192 tokens") !=
      std::string::npos);
}

TEST_CASE("A context that does not fit is said, and refused only if it must fit") {
  KvBudgetQuestion question = Question("100MiB");
  auto budget = PlanKvBudget(question);
  REQUIRE(budget.ok());
  CHECK(budget->blocks == 100);
  CHECK(budget->text.find("1600 tokens, less than the model's context of 4096") != std::string::npos);
  CHECK(budget->min_blocks == 50);  // of a context that does not fit, half of what there is
  question.must_hold = 1200;
  CHECK(PlanKvBudget(question)->min_blocks == 75);
  question.must_hold = 1601;
  budget = PlanKvBudget(question);
  CHECK(budget.status().code() == absl::StatusCode::kResourceExhausted);
  CHECK(
      std::string(budget.status().message()).find("a sequence of 1601 tokens needs 101 blocks, 101.0 MiB") !=
      std::string::npos);
}

TEST_CASE("What cannot fit is refused with the numbers and the cure") {
  auto budget = PlanKvBudget(Question("7GiB"));
  CHECK(budget.status().code() == absl::StatusCode::kResourceExhausted);
  CHECK(std::string(budget.status().message())
            .find("budget of 7.0 GiB for KV cache and adapters does not fit: 10.0 GiB available") !=
        std::string::npos);
  KvBudgetQuestion question = Question("auto");
  question.weights = 9 * kGiB;
  budget = PlanKvBudget(question);
  CHECK(budget.status().code() == absl::StatusCode::kResourceExhausted);
  CHECK(
      budget.status().message() ==
      "the model does not fit: weights 9.0 GiB + step 1.0 GiB + the smallest KV cache 1.0 MiB, and 10.0 GiB "
      "are available (MemAvailable); choose a smaller format (weights.*), fewer rows (engine.token_budget) "
      "or another device, or free memory");
  budget = PlanKvBudget(Question("1000"));
  CHECK(std::string(budget.status().message()).find("a sequence of 1 tokens needs 1 blocks") !=
        std::string::npos);
  CHECK(PlanKvBudget(Question("much")).status().code() == absl::StatusCode::kInvalidArgument);
}

TEST_CASE("What may be taken of a device's memory") {
  const AvailableMemory free{.bytes = 10 * kGiB, .source = "MemAvailable"};
  const auto limited = [&](const char* text) { return LimitMemory(free, text).value(); };
  CHECK(limited("auto").bytes == 10 * kGiB);
  CHECK(limited("auto").source == "MemAvailable");
  CHECK(limited("4GiB").bytes == 4 * kGiB);
  CHECK(limited("4GiB").source == "device_memory 4GiB");
  CHECK(limited("50%").bytes == 5 * kGiB);
  CHECK(limited("50%").source == "device_memory 50% of 10.0 GiB, MemAvailable");
  CHECK(limited("40GiB").bytes == 10 * kGiB);  // there is no more than is free
  CHECK(LimitMemory(free, "much").status().code() == absl::StatusCode::kInvalidArgument);
}

// A system's files under a folder of its own.
class System {
 public:
  System() {
    Write("proc/meminfo",
          "MemTotal:       16000000 kB\nMemFree:         100 kB\nMemAvailable:    8000000 kB\n");
  }
  void Write(const std::string& path, const std::string& text) {
    const std::filesystem::path full = root_ + path;
    std::filesystem::create_directories(full.parent_path());
    std::ofstream(full) << text;
  }
  AvailableMemory Read() const {
    const auto memory = ReadAvailableMemory(root_);
    REQUIRE(memory.ok());
    return *memory;
  }
  const std::string& root() const { return root_; }

 private:
  const TempFolder folder_;
  const std::string root_ = folder_.path() + "/";
};

TEST_CASE("Without a control group MemAvailable counts") {
  System system;
  CHECK(system.Read().bytes == 8000000ull * 1024);
  CHECK(system.Read().source == "MemAvailable");
}

TEST_CASE("A lower limit of the group, or of one above it, counts, file pages that can go do not") {
  System system;
  system.Write("proc/self/cgroup", "0::/user/server\n");
  system.Write("sys/fs/cgroup/user/server/memory.max", "max\n");
  system.Write("sys/fs/cgroup/user/server/memory.current", "5000\n");
  CHECK(system.Read().source == "MemAvailable");
  system.Write("sys/fs/cgroup/user/memory.max", "1000000\n");
  system.Write("sys/fs/cgroup/user/memory.current", "600000\n");
  system.Write("sys/fs/cgroup/user/memory.stat", "anon 300000\nfile 300000\ninactive_file 250000\n");
  CHECK(system.Read().bytes == 650000);
  CHECK(system.Read().source == "memory limit of control group /user");
  system.Write("sys/fs/cgroup/memory.max", "400000\n");  // a container's own root
  system.Write("sys/fs/cgroup/memory.current", "500000\n");
  CHECK(system.Read().bytes == 0);
}

TEST_CASE("Control groups of version 1 are read too") {
  System system;
  system.Write("proc/self/cgroup", "12:cpu,cpuacct:/a\n7:memory:/docker/1\n");
  system.Write("sys/fs/cgroup/memory/docker/1/memory.limit_in_bytes", "2000000\n");
  system.Write("sys/fs/cgroup/memory/docker/1/memory.usage_in_bytes", "500000\n");
  system.Write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  system.Write("sys/fs/cgroup/memory/memory.usage_in_bytes", "1\n");
  CHECK(system.Read().bytes == 1500000);
}

TEST_CASE("A system without MemAvailable is an error with a cure, this one is not") {
  System system;
  system.Write("proc/meminfo", "MemTotal: 5 kB\n");
  CHECK(ReadAvailableMemory(system.root()).status().code() == absl::StatusCode::kUnavailable);
  CHECK(ReadAvailableMemory().ok());
}

}  // namespace
}  // namespace guildhall
