#include "base/cpu_quota.h"

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <string>

#include <unistd.h>

using guildhall::CpuQuota;

namespace {

// A folder that stands for /proc and /sys/fs/cgroup, gone at the end.
class Folder {
 public:
  Folder() : path_(std::filesystem::temp_directory_path() / ("cpu_quota_test." + std::to_string(getpid()))) {
    std::filesystem::create_directories(path_);
  }
  ~Folder() { std::filesystem::remove_all(path_); }

  void Write(const std::string& name, const std::string& text) {
    const auto file = path_ / name;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }
  std::optional<int> Quota() const {
    return CpuQuota((path_ / "self").string(), (path_ / "cgroup").string());
  }

 private:
  std::filesystem::path path_;
};

}  // namespace

TEST_CASE("without a control group there is no quota") {
  CHECK(!Folder().Quota());
}

TEST_CASE("version 2: quota over period, rounded up, the smallest on the way to the root") {
  Folder folder;
  folder.Write("self", "0::/pods/server\n");
  folder.Write("cgroup/pods/server/cpu.max", "max 100000\n");
  CHECK(!folder.Quota());
  folder.Write("cgroup/pods/cpu.max", "350000 100000\n");
  CHECK(folder.Quota() == 4);
  folder.Write("cgroup/pods/server/cpu.max", "200000 100000\n");
  CHECK(folder.Quota() == 2);
  folder.Write("cgroup/cpu.max", "1000 100000\n");
  CHECK(folder.Quota() == 1);
}

TEST_CASE("version 1: the cpu controller's quota, -1 is none") {
  Folder folder;
  folder.Write("self", "5:memory:/a\n4:cpu,cpuacct:/a\n");
  folder.Write("cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "-1\n");
  folder.Write("cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "100000\n");
  CHECK(!folder.Quota());
  folder.Write("cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "150000\n");
  CHECK(folder.Quota() == 2);
}

TEST_CASE("odd quota files count as no quota") {
  Folder folder;
  folder.Write("self", "nonsense\n0::/\n");
  for (const char* text : {"", "fast\n", "100000\n", "0 100000\n", "100000 0\n", "-5 100000\n", "1 2 3\n"}) {
    folder.Write("cgroup/cpu.max", text);
    CHECK(!folder.Quota());
  }
}
