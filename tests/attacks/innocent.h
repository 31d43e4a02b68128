// A client that does nothing wrong, beside one that does.
#pragma once

#include <atomic>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "guildhall/v1/inference.grpc.pb.h"

namespace guildhall::attacks {

struct InnocentCounts {
  int64_t ok = 0;
  int64_t wrong = 0;                      // answers that differ from the solo run in any bit
  std::map<std::string, int64_t> failed;  // by code and message
  std::vector<double> seconds;            // of the calls that were answered

  int64_t failures() const;
  // The time within which `fraction` of the answers came; 0 without any.
  double Quantile(double fraction) const;
};

// Calls Generate for tasks of the demo in turn, with the log-probabilities of all tokens: mostly on a
// channel that it keeps, each fifth time on a new connection.
class Innocent {
 public:
  // Asks each question once, alone. Ends the program when one is not answered: nothing is attacked yet.
  explicit Innocent(std::string address);

  // Calls one after another until `stop` is true, but `at_least` times.
  InnocentCounts Run(const std::atomic<bool>& stop, int at_least) const;

 private:
  struct Answer {
    std::string bits;  // the tokens and log-probabilities
    grpc::Status status;
  };
  Answer Ask(size_t question, bool new_connection) const;

  std::string address_;
  std::unique_ptr<v1::Inference::Stub> kept_;
  std::vector<v1::GenerateRequest> questions_;
  std::vector<std::string> solo_;
};

}  // namespace guildhall::attacks
