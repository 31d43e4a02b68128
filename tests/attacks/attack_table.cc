#include "tests/attacks/attack.h"

#include "tests/attacks/attack_functions.h"

namespace guildhall::attacks {
namespace {

constexpr Attack kAttacks[] = {
    // connections
    {"fd-exhaustion", "connections on which nothing is ever sent", 1124, 300, SilentConnections},
    {"half-prefaces", "connections that begin HTTP/2 and go no further", 500, 100, HalfPrefaces},
    {"idle-connections", "connections that speak HTTP/2 and call nothing", 1500, 300, IdleConnections},
    {"other-protocols", "HTTP/1.1, a TLS hello, random bytes", 300, 60, OtherProtocols},
    {"garbled-headers", "field blocks of random bytes", 300, 60, GarbledHeaders},
    // streams
    {"idle-reflection", "reflection streams on which nothing is sent", 700, 300, IdleReflection},
    {"health-watches", "watches of health that stay open", 700, 300, HealthWatches},
    {"idle-generate", "calls of Generate without a message", 1000, 300, IdleGenerate},
    {"closed-windows", "calls of Generate whose answers are never taken", 700, 200, ClosedWindows},
    {"unacknowledged-settings", "calls with 60 KB of metadata, the server's settings never acknowledged", 400,
     50, UnacknowledgedSettings},
    // floods
    {"rapid-reset", "calls of Generate, reset at once", 60'000, 3000, RapidReset},
    {"reset-headers-only", "calls without a message, reset at once", 60'000, 5000, ResetHeadersOnly},
    {"ping-flood", "pings whose answers are never read", 300'000, 30'000, PingFlood},
    {"settings-flood", "settings whose acknowledgements are never read", 200'000, 20'000, SettingsFlood},
    {"continuation-flood", "a field block that never ends", 200'000, 20'000, ContinuationFlood},
    {"empty-data-flood", "empty DATA frames", 200'000, 20'000, EmptyDataFlood},
    {"priority-flood", "PRIORITY frames", 200'000, 20'000, PriorityFlood},
    {"window-flood", "WINDOW_UPDATE frames of one byte", 100'000, 20'000, WindowFlood},
    // messages
    {"gzip-bomb", "messages that inflate to so many MiB", 400, 40, GzipBomb},
    {"metadata", "calls with metadata over the limit beside a call on the same connection", 60, 12, Metadata},
    {"header-bomb", "MiB of headers in references to one table entry", 512, 64, HeaderBomb},
    {"unsent-messages", "messages declared as 4 MiB or 4 GiB that never come", 200, 50, UnsentMessages},
    {"no-message", "unary calls without a message", 100, 10, NoMessage},
    {"two-messages", "unary calls with two messages", 100, 10, TwoMessages},
};

}  // namespace

std::span<const Attack> AllAttacks() {
  return kAttacks;
}

const Attack* FindAttack(std::string_view name) {
  for (const Attack& attack : kAttacks) {
    if (attack.name == name) return &attack;
  }
  return nullptr;
}

}  // namespace guildhall::attacks
