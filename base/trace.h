// A timeline of what each thread did, in memory until it is written as a file for trace viewers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

namespace guildhall {

// One track per thread. A track belongs to the thread that adds to it; all else is for one thread while no
// other adds. Adding takes no lock and no memory: what no longer fits is counted and dropped.
class Trace {
 public:
  explicit Trace(int tracks, size_t events_per_track = size_t{1} << 18);

  // The number of a name; the same name has the same number. Takes memory for a name that is new.
  int Name(std::string_view name);
  void NameTrack(int track, std::string_view name);

  // A span on SteadyNs()'s clock. Spans of one track nest or do not overlap.
  void Add(int track, int name, int64_t begin_ns, int64_t end_ns);
  // A piece of a parallel loop. Lengthens the track's last span where that is a piece of the same loop.
  void AddPiece(int track, int name, int64_t loop, int64_t begin_ns, int64_t end_ns);

  size_t events() const;
  size_t dropped() const;

  // JSON of the trace event format, as Perfetto (ui.perfetto.dev) and chrome://tracing read it; times in
  // microseconds from the first event. Errors name the file.
  absl::Status Write(const std::string& path) const;

 private:
  struct Event {
    int64_t begin_ns, end_ns;
    int64_t loop;    // pieces of one loop are put together; -1: not a piece
    int32_t name;    // of names_
    int32_t pieces;  // that were put together
  };
  // On cache lines of its own: the tracks beside it are written by other threads.
  struct alignas(128) Track {
    std::string name;
    std::vector<Event> events;  // reserved once
    size_t dropped = 0;
  };

  void Append(int track, const Event& event);

  size_t events_per_track_;
  std::vector<std::string> names_;
  std::vector<Track> tracks_;
};

}  // namespace guildhall
