// What a client may name as an adapter's path: nothing outside the roots is opened, and refusals tell nothing
// of what is there.
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

#include "server/adapter_roots.h"
#include "tests/server/adapter_fixture.h"

namespace guildhall {
namespace {

namespace fs = std::filesystem;

struct Roots {
  Roots() {
    fs::create_directories(folder / "root/esft/math");
    fs::create_directories(folder / "root/blobs");
    fs::create_directories(folder / "second/other");
    fs::create_directories(folder / "secret/math");
    std::ofstream(folder / "secret/password") << "hunter2";
    std::ofstream(folder / "root/esft/math/adapter_config.json") << "{}";
    std::ofstream(folder / "root/expert_cfg.json") << "{}";
    auto opened = AdapterRoots::Open({folder / "root", folder / "second"});
    REQUIRE(opened.ok());
    roots = *std::move(opened);
  }
  TempFolder folder;
  AdapterRoots roots;
};

std::string Message(const absl::StatusOr<RootedPath>& found) {
  return std::string(found.status().message());
}

}  // namespace

TEST_CASE("a path below a root is found in the first root that has it") {
  const Roots world;
  const auto math = world.roots.Folder("esft/math");
  REQUIRE(math.ok());
  CHECK(math->path() == fs::canonical(world.folder / "root/esft/math").string());
  CHECK(math->CheckStill().ok());
  CHECK(world.roots.Folder("other").ok());
  CHECK(world.roots.File("expert_cfg.json").ok());
  // A folder is no file, and a file is no folder.
  CHECK(absl::IsNotFound(world.roots.File("esft").status()));
  CHECK(absl::IsNotFound(world.roots.Folder("expert_cfg.json").status()));
  CHECK_FALSE(AdapterRoots::Open({world.folder / "nowhere"}).ok());
  CHECK_FALSE(AdapterRoots::Open({world.folder / "secret/password"}).ok());
  CHECK(AdapterRoots().Folder("x").status().code() == absl::StatusCode::kFailedPrecondition);
}

TEST_CASE("malformed paths are refused before the file system is asked") {
  const Roots world;
  for (const std::string& path :
       {std::string(), std::string("/"), std::string("/etc"), world.folder / "root/esft/math",
        std::string(".."), std::string("../secret"), std::string("esft/../../secret"), std::string("esft/.."),
        std::string("."), std::string("./esft"), std::string("esft//math"), std::string("esft/"),
        std::string("esft\0/math", 10), std::string(4097, 'x')}) {
    INFO(path.substr(0, 40));
    const auto found = world.roots.Folder(path);
    CHECK(found.status().code() == absl::StatusCode::kInvalidArgument);
    CHECK_THAT(Message(found), !Catch::Contains(world.folder / "root") || Catch::Contains("absolute"));
    CHECK(Message(found).size() < 400);
  }
}

TEST_CASE("absent and forbidden are told in the same words") {
  const Roots world;
  const std::string root = world.folder / "root/";
  fs::create_symlink(world.folder / "secret", root + "link-out");
  fs::create_symlink("../secret/math", root + "link-up");
  fs::create_symlink("/dev/zero", root + "zero");
  fs::create_symlink("loop-b", root + "loop-a");
  fs::create_symlink("loop-a", root + "loop-b");
  fs::create_symlink("nothing", root + "dangling");
  REQUIRE(mkfifo((root + "fifo").c_str(), 0600) == 0);
  const auto same = [&](const std::string& path, bool folder) {
    INFO(path);
    const auto found = folder ? world.roots.Folder(path) : world.roots.File(path);
    CHECK(found.status().code() == absl::StatusCode::kNotFound);
    CHECK(Message(found) ==
          "there is nothing at \"" + path + "\" below the server's adapter roots that it may read");
  };
  for (const char* path : {"absent", "link-out", "link-out/math", "link-up", "zero", "loop-a", "dangling",
                           "fifo", "%2e%2e", "%2e%2e/secret", "esft\xe2\x88\x95math", "link-out/password"}) {
    same(path, true);
    same(path, false);
  }
  // Longer than a name may be on disk; cut where it is shown.
  const auto found = world.roots.Folder(std::string(4096, 'x'));
  CHECK(found.status().code() == absl::StatusCode::kNotFound);
  CHECK(Message(found).size() < 300);
}

TEST_CASE("%2e%2e is a name like any other") {
  const Roots world;
  fs::create_directory(world.folder / "root/%2e%2e");
  const auto found = world.roots.Folder("%2e%2e");
  REQUIRE(found.ok());
  CHECK(fs::path(found->path()).filename() == "%2e%2e");
}

TEST_CASE("links inside a root are followed, as caches of model hubs have them") {
  const Roots world;
  std::ofstream(world.folder / "root/blobs/abc") << "{}";
  fs::create_directories(world.folder / "root/snapshots/1");
  fs::create_symlink("../../blobs/abc", world.folder / "root/snapshots/1/adapter_config.json");
  fs::create_symlink("snapshots/1", world.folder / "root/latest");
  CHECK(world.roots.Folder("snapshots/1").ok());
  const auto latest = world.roots.Folder("latest");
  REQUIRE(latest.ok());
  CHECK(fs::path(latest->path()).filename() == "1");
}

TEST_CASE("a folder whose file is a link out of the root is forbidden as a whole") {
  const Roots world;
  fs::create_symlink(world.folder / "secret/password",
                     world.folder / "root/esft/math/adapter_model.safetensors");
  CHECK(absl::IsNotFound(world.roots.Folder("esft/math").status()));
}

TEST_CASE("what is swapped after it was resolved shows before it is used") {
  const Roots world;
  const std::string math = world.folder / "root/esft/math";
  // The folder becomes a link to a place outside.
  {
    const auto found = world.roots.Folder("esft/math");
    REQUIRE(found.ok());
    fs::rename(math, math + "-away");
    fs::create_symlink(world.folder / "secret/math", math);
    CHECK(absl::IsNotFound(found->CheckStill()));
    fs::remove(math);
    fs::rename(math + "-away", math);
    CHECK(found->CheckStill().ok());
  }
  // Another folder takes its name.
  {
    const auto found = world.roots.Folder("esft/math");
    REQUIRE(found.ok());
    fs::rename(math, math + "-away");
    fs::create_directory(math);
    CHECK(absl::IsNotFound(found->CheckStill()));
  }
  // A file of it becomes a link out.
  {
    const auto found = world.roots.Folder("esft/math-away");
    REQUIRE(found.ok());
    fs::create_symlink(world.folder / "secret/password", math + "-away/adapter_model.safetensors");
    CHECK(absl::IsNotFound(found->CheckStill()));
  }
}

TEST_CASE("a root's own path is hidden in what clients read") {
  const Roots world;
  const std::string text =
      fs::canonical(world.folder / "root").string() + "/esft/math/adapter_config.json: r: 0";
  CHECK(world.roots.Hide(text) == "esft/math/adapter_config.json: r: 0");
  CHECK(world.roots.Hide("two: " + text + ", " + text) ==
        "two: esft/math/adapter_config.json: r: 0, esft/math/adapter_config.json: r: 0");
  CHECK(AdapterRoots().Hide("x") == "x");
}

}  // namespace guildhall
