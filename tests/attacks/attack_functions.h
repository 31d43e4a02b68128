// The functions behind the table of attacks; attack_table.cc says what each does.
#pragma once

#include "tests/attacks/attack.h"

namespace guildhall::attacks {

// connections.cc
Tally SilentConnections(const Target& target, int size);
Tally HalfPrefaces(const Target& target, int size);
Tally IdleConnections(const Target& target, int size);
Tally OtherProtocols(const Target& target, int size);
Tally GarbledHeaders(const Target& target, int size);

// streams.cc
Tally IdleReflection(const Target& target, int size);
Tally HealthWatches(const Target& target, int size);
Tally IdleGenerate(const Target& target, int size);
Tally ClosedWindows(const Target& target, int size);
Tally UnacknowledgedSettings(const Target& target, int size);

// floods.cc
Tally RapidReset(const Target& target, int size);
Tally ResetHeadersOnly(const Target& target, int size);
Tally PingFlood(const Target& target, int size);
Tally SettingsFlood(const Target& target, int size);
Tally ContinuationFlood(const Target& target, int size);
Tally EmptyDataFlood(const Target& target, int size);
Tally PriorityFlood(const Target& target, int size);
Tally WindowFlood(const Target& target, int size);

// messages.cc
Tally GzipBomb(const Target& target, int size);
Tally Metadata(const Target& target, int size);
Tally HeaderBomb(const Target& target, int size);
Tally UnsentMessages(const Target& target, int size);
Tally NoMessage(const Target& target, int size);
Tally TwoMessages(const Target& target, int size);

}  // namespace guildhall::attacks
