// One thread, because one person looks at one page: a second would only compete with reading. The newest request goes
// first, so that the page in front of the person overtakes a column of thumbnails. The last few documents stay open,
// because opening costs more than rendering; a process that died is dropped and a new one is opened for the next
// request.
#include "app/page_host.h"

#include <algorithm>
#include <condition_variable>
#include <list>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include "documents/reader_client.h"

namespace lectern::app {
namespace {

constexpr std::size_t most_open = 4;

struct Request {
  QString fingerprint, path, purpose;
  int page = 0;
  double dpi = 0;
};

struct OpenDocument {
  QString fingerprint;
  documents::ReaderProcess process;
};

}  // namespace

struct PageHost::State {
  explicit State(PageHost& owner) : host(owner) {
    thread = std::jthread([this](std::stop_token stop) { work(stop); });
  }

  void work(std::stop_token stop) {
    std::list<OpenDocument> open;  // the last used first
    for (;;) {
      Request request;
      std::string password;
      {
        std::unique_lock lock(mutex);
        if (!wake.wait(lock, stop, [this] { return !waiting.empty() || !forgotten.empty(); })) return;
        for (const QString& fingerprint : forgotten)
          open.remove_if([&](const OpenDocument& document) { return document.fingerprint == fingerprint; });
        forgotten.clear();
        if (waiting.empty()) continue;
        request = waiting.back();
        waiting.pop_back();
        if (const auto found = passwords.find(request.path); found != passwords.end())
          password = found->second.toStdString();
      }
      serve(request, password, open, stop);
    }
  }

  void serve(const Request& request, const std::string& password, std::list<OpenDocument>& open, std::stop_token stop) {
    const auto is_it = [&](const OpenDocument& document) { return document.fingerprint == request.fingerprint; };
    try {
      auto found = std::find_if(open.begin(), open.end(), is_it);
      if (found == open.end()) {
        documents::ReaderOptions options;
        options.password = password;
        open.push_front(
            {request.fingerprint, documents::ReaderProcess::open(request.path.toStdString(), options, stop)});
        if (open.front().process.info().fingerprint != request.fingerprint.toStdString()) {
          open.pop_front();
          fail(request, request.path + QStringLiteral(": the file has changed since it was read; add it again"));
          return;
        }
        if (open.size() > most_open) open.pop_back();
      } else {
        open.splice(open.begin(), open, found);
      }
      const documents::Picture picture = open.front().process.render(request.page, request.dpi, stop);
      PagePicture result;
      result.width = picture.width;
      result.height = picture.height;
      result.pixels = QByteArray(picture.pixels.data(), static_cast<qsizetype>(picture.pixels.size()));
      QMetaObject::invokeMethod(
          &host,
          [this, request, result] {
            Q_EMIT host.page_rendered(request.fingerprint, request.page, request.dpi, request.purpose, result);
          },
          Qt::QueuedConnection);
    } catch (const documents::Error& error) {
      open.remove_if(is_it);
      if (stop.stop_requested()) return;
      fail(request, QString::fromStdString(error.what()));
    } catch (const std::exception& error) {
      open.remove_if(is_it);
      fail(request, request.path + QStringLiteral(": ") + QString::fromUtf8(error.what()));
    }
  }

  void fail(const Request& request, const QString& problem) {
    QMetaObject::invokeMethod(
        &host,
        [this, request, problem] {
          Q_EMIT host.page_failed(request.fingerprint, request.page, request.purpose, problem);
        },
        Qt::QueuedConnection);
  }

  PageHost& host;
  std::mutex mutex;
  std::condition_variable_any wake;
  std::vector<Request> waiting;  // the newest last
  std::vector<QString> forgotten;
  std::map<QString, QString> passwords;
  std::jthread thread;  // last: it ends before what it uses
};

PageHost::PageHost(QObject* parent) : QObject(parent), state_(std::make_unique<State>(*this)) {}

PageHost::~PageHost() = default;

void PageHost::request(const QString& fingerprint, const QString& path, int page, double dpi, const QString& purpose) {
  {
    const std::lock_guard lock(state_->mutex);
    std::erase_if(state_->waiting, [&](const Request& request) { return request.purpose == purpose; });
    state_->waiting.push_back({fingerprint, path, purpose, page, dpi});
  }
  state_->wake.notify_one();
}

void PageHost::set_password(const QString& path, const QString& password) {
  const std::lock_guard lock(state_->mutex);
  state_->passwords[path] = password;
}

void PageHost::forget(const QString& fingerprint) {
  {
    const std::lock_guard lock(state_->mutex);
    std::erase_if(state_->waiting, [&](const Request& request) { return request.fingerprint == fingerprint; });
    state_->forgotten.push_back(fingerprint);
  }
  state_->wake.notify_one();
}

}  // namespace lectern::app
