// How the keys of the configuration are shown to have an effect.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <variant>

#include "tests/server/effects.h"

namespace guildhall {

// A test case of tests/FILE, by the beginning of its name, in whose text the key's last word stands.
struct ShownBy {
  std::string file, name;
};
// What cannot be seen from outside, and why.
struct Unseen {
  std::string why;
};
using Proof = std::variant<std::function<bool()>, ShownBy, Unseen>;

// Fails the test that asks where a named test is not there.
bool Holds(const std::string& key, const Proof& proof);

// The text of a file; "" where there is none.
std::string ReadAll(const std::string& path);

class Proofs {
 public:
  using Change = std::function<void(ServerConfig&)>;

  void Add(const std::string& key, Proof proof) { all_[key] = std::move(proof); }
  void Test(const std::string& key, const std::string& file, const std::string& name) {
    Add(key, ShownBy{file, name});
  }
  // Something that a server's clients see, which is another one with the change than without it.
  void Served(const std::string& key, const Change& set, const std::function<std::string(TestServer&)>& seen);
  void Answered(const std::string& key, const v1::GenerateRequest& request, const Change& set);

  const std::map<std::string, Proof>& all() const { return all_; }

 private:
  std::map<std::string, Proof> all_;
};

// model, weights, memory, machine, adapters; and listeners, limits of connections, log.
void ProveModelKeys(Proofs& proofs);
void ProveListenerKeys(Proofs& proofs);

}  // namespace guildhall
