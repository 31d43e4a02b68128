// One line of the adapters' report.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/json.h"
#include "bench/marks.h"
#include "bench/statistics.h"

namespace guildhall {

// A ratio of two measurements that alternate in one run.
struct AdapterFigure {
  std::string name;
  Spread ratio;      // over the rounds
  std::string what;  // which two things are compared
  Mark mark;
};
using AdapterReport = std::function<void(const AdapterFigure&)>;

Json AdapterFigureJson(const AdapterFigure& figure);
// Two lines: the ratio with its range, the name and the mark; what is compared.
std::string AdapterFigureText(const AdapterFigure& figure);

}  // namespace guildhall
