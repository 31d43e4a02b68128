// For the sources of the tables: keys of one part of a configuration, one line each.
#pragma once

#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/str_cat.h"
#include "config/keys.h"
#include "engine/sampling_fields.h"

namespace guildhall {

inline constexpr double kMaxInt32 = std::numeric_limits<int32_t>::max();

template <typename Owner>
using KeyList = std::vector<ConfigKey<Owner>>;

// The keys of `Part`, all of whose paths begin with `prefix`.
template <typename Owner, typename Part>
class KeyGroup {
 public:
  KeyGroup(KeyList<Owner>& keys, std::string_view prefix, std::function<Part&(Owner&)> part)
      : keys_(keys), prefix_(prefix), part_(std::move(part)) {}

  template <typename Value>
  ConfigKey<Owner>& Add(std::string_view name, std::string_view help, Value Part::*member,
                        NumberRange range = {}) {
    ConfigKey<Owner> key;
    key.path = StrCat(prefix_, name);
    key.help = help;
    key.range = range;
    key.field = FieldAccess<Owner, Value>(
        [part = part_, member](Owner& owner) -> Value& { return part(owner).*member; });
    keys_.push_back(std::move(key));
    return keys_.back();
  }

  // Those of the group's member.
  template <typename Member>
  KeyGroup<Owner, Member> Inside(std::string_view name, Member Part::*member) const {
    return {keys_, StrCat(prefix_, name, "."),
            [part = part_, member](Owner& owner) -> Member& { return part(owner).*member; }};
  }

 private:
  KeyList<Owner>& keys_;
  const std::string prefix_;
  const std::function<Part&(Owner&)> part_;
};

// All of `Owner`.
template <typename Owner>
KeyGroup<Owner, Owner> RootGroup(KeyList<Owner>& keys) {
  return {keys, "", [](Owner& owner) -> Owner& { return owner; }};
}

// One key for each sampling field.
template <typename Owner>
void AddSamplingKeys(KeyGroup<Owner, PartialSampling> group) {
  for (const SamplingField& field : kSamplingFields) {
    std::visit([&](const auto& member) { group.Add(field.name, field.help, member.partial, field.range); },
               field.member);
  }
}

void AddModelKeys(KeyList<ServerConfig>& keys);
void AddEngineKeys(KeyList<ServerConfig>& keys);
void AddListenerKeys(KeyList<ServerConfig>& keys);

}  // namespace guildhall
