// Prefixes are shared within one adapter set and one salt, and a hit changes no answer.
#include "engine/prefix_spaces.h"

#include <catch2/catch.hpp>
#include <map>
#include <random>
#include <set>
#include <string>

#include "engine/engine.h"
#include "tests/engine/answers.h"
#include "tests/engine/fake_model.h"

namespace guildhall {
namespace {

TEST_CASE("The same set and salt have the same number, any other pair another") {
  PrefixSpaces spaces;
  CHECK(spaces.Intern(0, "") == kBaseSpace);
  std::set<PrefixSpace> numbers = {kBaseSpace};
  for (const uint64_t set : {0, 1, 2}) {
    for (const char* salt : {"", "a", "b"}) {
      if (set == 0 && *salt == 0) continue;
      CHECK(numbers.insert(spaces.Intern(set, salt)).second);
    }
  }
  for (const uint64_t set : {2, 1, 0}) {
    for (const char* salt : {"b", "a", ""}) CHECK(numbers.contains(spaces.Intern(set, salt)));
  }
  // Bytes of a salt are bytes: none ends it.
  CHECK(spaces.Intern(1, std::string("a\0x", 3)) != spaces.Intern(1, "a"));
}

TEST_CASE("What nobody asked for longest is forgotten, and its number is not given again") {
  PrefixSpaces spaces(3);
  const PrefixSpace one = spaces.Intern(1, ""), two = spaces.Intern(2, ""), three = spaces.Intern(3, "");
  CHECK(spaces.Intern(1, "") == one);
  const PrefixSpace four = spaces.Intern(4, "");  // forgets 2
  CHECK(spaces.Intern(1, "") == one);
  CHECK(spaces.Intern(3, "") == three);
  const PrefixSpace again = spaces.Intern(2, "");  // forgets 4
  CHECK(std::set<PrefixSpace>{one, two, three, four, again}.size() == 5);
  CHECK(spaces.Intern(0, "") == kBaseSpace);  // needs no place
  CHECK(spaces.Intern(1, "") == one);
}

TEST_CASE("Under random use a number never means two pairs") {
  PrefixSpaces spaces(5);
  std::mt19937 random(11);
  std::map<PrefixSpace, std::pair<uint64_t, std::string>> meaning;
  for (int i = 0; i < 20000; ++i) {
    const std::pair<uint64_t, std::string> pair(random() % 4, std::string(random() % 3, 'x'));
    const PrefixSpace space = spaces.Intern(pair.first, pair.second);
    CHECK(meaning.emplace(space, pair).first->second == pair);
  }
  CHECK(meaning.size() > 100);
}

// What the engine does with it.
class Served {
 public:
  explicit Served(bool prefix_cache = true) : engine_(model_, Options(prefix_cache), BaseTask()) {
    engine_.Start();
  }

  // Checks the answer against the solo run; returns how many prompt tokens were cached.
  int32_t Ask(std::shared_ptr<const AdapterSet> set, std::string salt = "") {
    std::vector<int32_t> prompt;
    for (int32_t i = 0; i < 49; ++i) prompt.push_back(i * 7 % 61);
    auto request = MakeRequest(prompt, Greedy(4));
    request->adapters = std::move(set);
    request->cache_salt = std::move(salt);
    REQUIRE(engine_.Submit(request).ok());
    const Answer answer = Collect(*request->stream);
    CHECK(answer.tokens == SoloTokens(*request, 61));
    return answer.end.usage.cached_tokens;
  }

 private:
  static EngineOptions Options(bool prefix_cache) {
    EngineOptions options = SmallOptions();
    options.prefix_cache = prefix_cache;
    return options;
  }
  FakeModel model_;
  Engine engine_;
};

TEST_CASE("A prefix is not found by another adapter set, nor by the base, nor after a reload") {
  Served served;
  CHECK(served.Ask(MakeSet(1)) == 0);
  CHECK(served.Ask(MakeSet(1)) == 48);  // the same versions, whatever object names them
  CHECK(served.Ask(MakeSet(2)) == 0);   // the same name loaded again is another set
  CHECK(served.Ask(nullptr) == 0);
  CHECK(served.Ask(nullptr) == 48);
  CHECK(served.Ask(MakeSet(2)) == 48);
  CHECK(served.Ask(MakeSet(1)) == 48);  // and an old version that still runs keeps its own
}

TEST_CASE("A prefix is not found under another salt") {
  Served served;
  CHECK(served.Ask(nullptr, "tenant a") == 0);
  CHECK(served.Ask(nullptr, "tenant b") == 0);
  CHECK(served.Ask(nullptr) == 0);
  CHECK(served.Ask(MakeSet(1), "tenant a") == 0);
  CHECK(served.Ask(nullptr, "tenant a") == 48);
  CHECK(served.Ask(nullptr, "tenant b") == 48);
  CHECK(served.Ask(MakeSet(1), "tenant a") == 48);
}

TEST_CASE("With the prefix cache off no set and no salt finds anything") {
  Served served(/*prefix_cache=*/false);
  for (int i = 0; i < 2; ++i) {
    CHECK(served.Ask(MakeSet(1)) == 0);
    CHECK(served.Ask(nullptr, "tenant a") == 0);
  }
}

TEST_CASE("A salt that is too long is refused with both sizes") {
  FakeModel model;
  Engine engine(model, SmallOptions(), BaseTask());
  auto request = MakeRequest({1}, Greedy(1));
  request->cache_salt.assign(257, 'x');
  const absl::Status status = engine.Submit(request);
  CHECK(status.code() == absl::StatusCode::kInvalidArgument);
  CHECK(status.message() == "cache_salt has 257 bytes; expected at most 256");
}

}  // namespace
}  // namespace guildhall
