// Tables of the documentation, for tests that hold what they say.
#pragma once

#include <string>
#include <vector>

namespace guildhall {

// The first cells of the rows of the table of `path` whose first column has this heading. CHECKs that there
// is one.
std::vector<std::string> FirstCells(const std::string& path, const std::string& heading);

}  // namespace guildhall
