#include "tests/server/config_proofs.h"

#include <catch2/catch.hpp>
#include <fstream>
#include <iterator>
#include <optional>

namespace guildhall {
namespace {

// The test's text up to the next one; nothing: there is no such test.
std::optional<std::string> TextOfTest(const ShownBy& test) {
  // Long names are broken over lines.
  std::string text = ReadAll(std::string(GUILDHALL_SOURCE_DIR) + "/tests/" + test.file);
  for (size_t at; (at = text.find("\"\n")) != std::string::npos;) {
    const size_t next = text.find_first_not_of(" \n", at + 1);
    if (next == std::string::npos || text[next] != '"') {
      text.erase(at, 1);
    } else {
      text.erase(at, next - at + 1);
    }
  }
  const size_t begin = text.find('"' + test.name);
  if (begin == std::string::npos) return std::nullopt;
  return text.substr(begin, text.find("TEST_CASE(", begin) - begin);
}

}  // namespace

std::string ReadAll(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

bool Holds(const std::string& key, const Proof& proof) {
  if (const auto* shown = std::get_if<std::function<bool()>>(&proof)) return (*shown)();
  if (std::holds_alternative<Unseen>(proof)) return true;
  const auto& test = std::get<ShownBy>(proof);
  INFO(test.file << ": " << test.name);
  const auto text = TextOfTest(test);
  CHECK(text.has_value());
  return text && text->find(key.substr(key.rfind('.') + 1)) != std::string::npos;
}

void Proofs::Served(const std::string& key, const Change& set,
                    const std::function<std::string(TestServer&)>& seen) {
  Add(key, std::function<bool()>([set, seen] {
        ServerConfig config = TestConfig();
        std::string before;
        {
          TestServer server(EffectModel(), config);
          before = seen(server);
        }
        set(config);
        TestServer server(EffectModel(), config);
        const std::string after = seen(server);
        INFO(before << "; " << after);
        CHECK(before != after);
        return before != after;
      }));
}

void Proofs::Answered(const std::string& key, const v1::GenerateRequest& request, const Change& set) {
  Served(key, set, [request](TestServer& server) { return Seen(*server.Inference(), request); });
}

}  // namespace guildhall
