// Calls that are told to fail, and errors that stay.
#pragma once

#include <map>
#include <mutex>
#include <string>

namespace guildhall::emulation {

// Thread-safe.
class Faults {
 public:
  void Plan(const std::string& function, int nth, int error, bool sticky);
  void Heal();

  // Of one call of `function`: the error that it is to return, 0 for none.
  int Count(const char* function);

  // What every call returns from now on; 0: nothing.
  int stuck() const;
  void Stick(int error);
  // An error that was met while work was executed, for the next one who waits.
  void Remember(int error, bool sticky);
  int TakeRemembered();
  // As Count, of what is executed.
  struct Fault {
    int error = 0;
    bool sticky = false;
  };
  Fault CountExecuted(const char* what);

 private:
  struct Planned {
    int calls_left;
    Fault fault;
  };
  Fault Find(const std::string& function);

  mutable std::mutex mutex_;
  std::multimap<std::string, Planned> planned_;
  int stuck_ = 0, remembered_ = 0;
};

}  // namespace guildhall::emulation
