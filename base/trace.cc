#include "base/trace.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <limits>
#include <memory>

#include "base/check.h"
#include "base/json.h"
#include "base/str_cat.h"

namespace guildhall {
namespace {

double Microseconds(int64_t ns) {
  return static_cast<double>(ns) * 1e-3;
}

absl::Status WriteError(const std::string& path) {
  return absl::UnavailableError(
      StrCat(path, ": cannot write the trace: ", static_cast<const char*>(strerror(errno))));
}

}  // namespace

Trace::Trace(int tracks, size_t events_per_track)
    : events_per_track_(events_per_track), tracks_(static_cast<size_t>(tracks)) {
  GH_CHECK_GT(tracks, 0);
  for (size_t i = 0; i < tracks_.size(); ++i) {
    tracks_[i].name = StrCat("thread ", i);
    tracks_[i].events.reserve(events_per_track);
  }
}

int Trace::Name(std::string_view name) {
  const auto found = std::find(names_.begin(), names_.end(), name);
  if (found != names_.end()) return static_cast<int>(found - names_.begin());
  names_.emplace_back(name);
  return static_cast<int>(names_.size()) - 1;
}

void Trace::NameTrack(int track, std::string_view name) {
  tracks_[static_cast<size_t>(track)].name = name;
}

void Trace::Append(int track, const Event& event) {
  Track& to = tracks_[static_cast<size_t>(track)];
  if (to.events.size() < events_per_track_) {
    to.events.push_back(event);
  } else {
    ++to.dropped;
  }
}

void Trace::Add(int track, int name, int64_t begin_ns, int64_t end_ns) {
  Append(track, {.begin_ns = begin_ns, .end_ns = end_ns, .loop = -1, .name = name, .pieces = 1});
}

void Trace::AddPiece(int track, int name, int64_t loop, int64_t begin_ns, int64_t end_ns) {
  std::vector<Event>& events = tracks_[static_cast<size_t>(track)].events;
  if (!events.empty() && events.back().loop == loop) {
    events.back().end_ns = end_ns;
    ++events.back().pieces;
    return;
  }
  Append(track, {.begin_ns = begin_ns, .end_ns = end_ns, .loop = loop, .name = name, .pieces = 1});
}

size_t Trace::events() const {
  size_t sum = 0;
  for (const Track& track : tracks_) sum += track.events.size();
  return sum;
}

size_t Trace::dropped() const {
  size_t sum = 0;
  for (const Track& track : tracks_) sum += track.dropped;
  return sum;
}

absl::Status Trace::Write(const std::string& path) const {
  int64_t origin = std::numeric_limits<int64_t>::max();
  for (const Track& track : tracks_) {
    for (const Event& event : track.events) origin = std::min(origin, event.begin_ns);
  }
  const std::unique_ptr<FILE, int (*)(FILE*)> file(std::fopen(path.c_str(), "w"), std::fclose);
  if (file == nullptr) return WriteError(path);
  std::fputs("{\"displayTimeUnit\":\"ms\",\"traceEvents\":[", file.get());
  const char* separator = "\n";
  for (size_t t = 0; t < tracks_.size(); ++t) {
    std::fprintf(file.get(),
                 "%s{\"ph\":\"M\",\"pid\":1,\"tid\":%zu,\"name\":\"thread_name\",\"args\":{\"name\":%s}}",
                 separator, t, DumpJson(Json(tracks_[t].name)).c_str());
    separator = ",\n";
  }
  for (size_t t = 0; t < tracks_.size(); ++t) {
    for (const Event& event : tracks_[t].events) {
      std::fprintf(file.get(), ",\n{\"ph\":\"X\",\"pid\":1,\"tid\":%zu,\"name\":%s,\"ts\":%.3f,\"dur\":%.3f",
                   t, DumpJson(Json(names_[static_cast<size_t>(event.name)])).c_str(),
                   Microseconds(event.begin_ns - origin), Microseconds(event.end_ns - event.begin_ns));
      if (event.loop >= 0) std::fprintf(file.get(), ",\"args\":{\"items\":%d}", event.pieces);
      std::fputc('}', file.get());
    }
  }
  std::fprintf(file.get(), "\n],\"otherData\":{\"dropped_events\":%zu}}\n", dropped());
  if (std::fflush(file.get()) != 0 || std::ferror(file.get()) != 0) return WriteError(path);
  return absl::OkStatus();
}

}  // namespace guildhall
