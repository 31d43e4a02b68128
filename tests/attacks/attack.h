// Attacks on the port of requests by a client without any rights: functions on an address, with a size.
#pragma once

#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace guildhall::attacks {

struct Target {
  std::string address;             // HOST:PORT
  std::chrono::milliseconds hold;  // how long whatever an attack opens stays open
  bool front = false;              // a proxy may refuse by its own rules and words what the server would
};

struct Count {
  int64_t number = 0;
  std::string_view of;  // plural
};

// What came of it.
struct Tally {
  Count attempts;
  Count refused;  // by the server: an error status, a reset, a connection closed or not accepted
  // What the server owes even to an attacker, or to its neighbour on the same connection, and did not do.
  std::vector<std::string> wrong;
};

struct Attack {
  std::string_view name;
  std::string_view what;
  int size;        // by default: as large as what once hurt a server
  int small_size;  // of a test that takes a second
  // Blocks until it is over; nothing stays open. Thread-safe.
  Tally (*run)(const Target&, int size);
};

std::span<const Attack> AllAttacks();
// Null where there is none of that name.
const Attack* FindAttack(std::string_view name);

}  // namespace guildhall::attacks
