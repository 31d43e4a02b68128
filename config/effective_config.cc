// What --check-config prints.
#include <algorithm>

#include "base/str_cat.h"
#include "config/loader.h"
#include "config/named_parts.h"

namespace guildhall {
namespace {

constexpr size_t kWidestColumn = 60;

struct Line {
  std::string text, origin;
};

class Lines {
 public:
  explicit Lines(const LoadedConfig& loaded) : origins_(loaded.origins) {}

  template <typename Owner>
  void Add(const std::string& prefix, const std::vector<ConfigKey<Owner>>& keys, Owner owner) {
    for (const auto& key : keys) {
      Json value = key.Get(owner);
      if (key.secret && value != Json("")) value = "***";
      const std::string path = prefix + key.path;
      const auto origin = origins_.find(path);
      lines_.push_back({StrCat(path, " = ", value.is_null() ? "unset" : DumpJson(value)),
                        origin == origins_.end() ? "default" : origin->second});
    }
  }

  template <typename Owner>
  void AddParts(const NamedParts<Owner>& parts, ServerConfig config) {
    for (const auto& [name, member] : parts.members(config)) {
      Add(StrCat(parts.path, ".", name, "."), parts.keys(), member);
    }
  }

  std::string Text() const {
    size_t width = 0;
    for (const Line& line : lines_) width = std::max(width, std::min(line.text.size(), kWidestColumn));
    std::string text;
    for (const Line& line : lines_) {
      const size_t pad = line.text.size() < width ? width - line.text.size() : 0;
      StrAppend(&text, line.text, std::string(pad, ' '), "  # ", line.origin, "\n");
    }
    return text;
  }

 private:
  const std::map<std::string, std::string>& origins_;
  std::vector<Line> lines_;
};

}  // namespace

std::string EffectiveConfigText(const LoadedConfig& loaded) {
  Lines lines(loaded);
  lines.Add("", ServerKeys(), loaded.config);
  lines.AddParts(kAdapterParts, loaded.config);
  lines.AddParts(kTaskParts, loaded.config);
  return lines.Text();
}

}  // namespace guildhall
