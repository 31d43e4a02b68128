// Puts the values of one source into a configuration.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/json.h"
#include "config/keys.h"
#include "config/named_parts.h"

namespace guildhall {

// Where values come from: for messages, for --check-config, and for relative paths.
struct ValueSource {
  std::string name;    // begins messages: "demo.json", "environment GUILDHALL_BACKEND", "--set"
  std::string origin;  // "file demo.json", else as the name
  std::string folder;  // of the file; "" outside of files
};

// "; did you mean X?", or nothing where no candidate is near. `quote` stands around the candidate.
std::string Suggestion(std::string_view name, const std::vector<std::string>& candidates,
                       std::string_view quote);

// Errors are INVALID_ARGUMENT and name the source, the key, the expected and the found; an unknown key names
// the nearest known one.
class Assigner {
 public:
  // `origins`: where each key's value came from; outlives the assigner.
  Assigner(ValueSource source, std::map<std::string, std::string>& origins)
      : source_(std::move(source)), origins_(origins) {}

  // The members of an object. `path` is its place among the keys, `prefix` what comes before that in messages
  // ("tasks.ID.").
  template <typename Owner>
  absl::Status Object(const std::vector<ConfigKey<Owner>>& keys, const Json& json, const std::string& path,
                      const std::string& prefix, Owner& owner);

  // {NAME: {KEY: VALUE}}.
  template <typename Owner>
  absl::Status Parts(const NamedParts<Owner>& parts, const Json& json, ServerConfig& config);
  // `key` is the whole part, or PART.NAME.KEY.
  template <typename Owner>
  absl::Status PartText(const NamedParts<Owner>& parts, const std::string& key, const std::string& text,
                        ServerConfig& config);

  // `path` is the key as messages and origins show it.
  template <typename Owner>
  absl::Status Text(const ConfigKey<Owner>& key, const std::string& path, const std::string& text,
                    Owner& owner);

 private:
  template <typename Owner>
  absl::Status Value(const ConfigKey<Owner>& key, const std::string& path, const Json& value, Owner& owner);
  // The part that stands at `path` of the whole configuration; nothing: there is none.
  std::optional<absl::Status> PartsAt(const std::string& path, const Json& json, ServerConfig& config);
  template <typename Owner>
  absl::StatusOr<Owner*> Member(const NamedParts<Owner>& parts, const std::string& name,
                                ServerConfig& config);
  Json Resolved(const KeyRules& key, const Json& value) const;

  const ValueSource source_;
  std::map<std::string, std::string>& origins_;
};

}  // namespace guildhall
