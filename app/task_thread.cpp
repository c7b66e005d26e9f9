#include "app/task_thread.h"

namespace lectern::app {

TaskThread::TaskThread()
    : thread_([this](std::stop_token stop) {
        for (;;) {
          std::function<void()> task;
          {
            std::unique_lock lock(mutex_);
            if (!wake_.wait(lock, stop, [this] { return !tasks_.empty(); }) || stop.stop_requested()) return;
            task = std::move(tasks_.front());
            tasks_.pop_front();
          }
          task();
        }
      }) {}

TaskThread::~TaskThread() = default;

void TaskThread::post(std::function<void()> task) {
  {
    const std::scoped_lock lock(mutex_);
    tasks_.push_back(std::move(task));
  }
  wake_.notify_one();
}

}  // namespace lectern::app
