// The one thread that writes the database.
#pragma once

#include <functional>
#include <future>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>

#include "app/database.h"

namespace lectern::app {

/// Owns the writing connection; tasks run in order. Opening applies the migrations (DatabaseError is thrown to the
/// caller).
class DatabaseWriter {
 public:
  explicit DatabaseWriter(const std::string& path);
  ~DatabaseWriter();  // finishes what is queued
  DatabaseWriter(const DatabaseWriter&) = delete;
  DatabaseWriter& operator=(const DatabaseWriter&) = delete;

  /// Queues a task and returns at once; an error goes to the future.
  std::future<void> post(std::function<void(Database&)> task);
  /// Queues a task and waits for its value. Never from the GUI thread, nor from inside a task.
  template <class Function>
  auto call(Function task) -> decltype(task(std::declval<Database&>())) {
    using Value = decltype(task(std::declval<Database&>()));
    auto promise = std::make_shared<std::promise<Value>>();
    auto future = promise->get_future();
    post([promise, task = std::move(task)](Database& database) mutable {
      try {
        if constexpr (std::is_void_v<Value>) {
          task(database);
          promise->set_value();
        } else {
          promise->set_value(task(database));
        }
      } catch (...) {
        promise->set_exception(std::current_exception());
      }
    });
    return future.get();
  }
  const std::string& path() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace lectern::app
