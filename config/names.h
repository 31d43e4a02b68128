// What the names that users give may look like: tasks and adapters.
#pragma once

#include <string>
#include <string_view>

namespace guildhall {

// Patterns of the schema, and the same in words that follow a name which is not allowed.
inline constexpr char kTaskIdPattern[] = "^([A-Za-z0-9][A-Za-z0-9._:/-]{0,127})?$";
inline constexpr char kTaskIdRule[] =
    "expected up to 128 letters, digits and . _ : / -, beginning with a letter or digit";
inline constexpr char kAdapterNamePattern[] = "^(?![.]{1,2}$)[A-Za-z0-9._-]{1,128}$";
inline constexpr char kAdapterNameRule[] =
    "expected 1 to 128 letters, digits and . _ -, and neither . nor ..";

bool ValidTaskId(std::string_view id);
bool ValidAdapterName(std::string_view name);

}  // namespace guildhall
