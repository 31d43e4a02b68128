// The table of marks as text, JSON and a picture.
#pragma once

#include <string>

#include "base/json.h"
#include "bench/speed_table.h"

namespace guildhall {

// One line per case: rows per second, the share (lowest .. highest round), what it is a share of, the mark
// and whether the median reaches it; then the levels that SlowLevels() warns of and the adapters' figures.
std::string SpeedTableText(const SpeedTable& table);

// {"machines": [...], "rounds", "seconds", "cases": [...], "warnings": [...], "adapters": [...]}.
Json SpeedTableJson(const SpeedTable& table);

// An SVG document: for each shape and level the shares by case, a bar for each format with its range and its
// mark; below them the adapters' ratios beside theirs.
std::string SpeedTableSvg(const SpeedTable& table);

}  // namespace guildhall
