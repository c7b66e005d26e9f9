// ask and read: paths become documents of a session, questions become answers. A bad file does not stop the others: it
// is named on stderr, and only if nothing could be read does the command fail.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <istream>
#include <mutex>
#include <nlohmann/json.hpp>
#include <ostream>
#include <sstream>

#include "app/answer_json.h"
#include "app/answer_service.h"
#include "app/cli_commands.h"
#include "app/coverage.h"
#include "app/database_writer.h"
#include "app/ingest.h"
#include "app/kept_readings.h"
#include "app/library.h"
#include "app/model_store.h"
#include "app/paths.h"
#include "app/session_store.h"
#include "app/terminal_answer.h"
#include "inference/local_engine.h"
#include "kernels/error.h"

namespace lectern::app::cli {

namespace {

struct OpenedSession {
  std::int64_t id = 0;
  bool is_new = false;
};

OpenedSession open_session(DatabaseWriter& writer, const std::optional<std::string>& name) {
  return writer.call([&](Database& database) {
    SessionStore store(database);
    if (name) {
      if (const auto found = store.find(*name)) {
        store.mark_interrupted(found->id);
        return OpenedSession{found->id, false};
      }
    }
    return OpenedSession{store.create(name.value_or("")), true};
  });
}

struct Added {
  std::size_t documents = 0;  // of the session, afterwards
  std::size_t failures = 0;
  double seconds = 0;
};

Added add_paths(DatabaseWriter& writer, std::int64_t session, const std::vector<std::string>& paths,
                const std::string& password, const CliStreams& streams, std::stop_token stop) {
  Added added;
  IngestResult result;
  if (!paths.empty()) {
    ProgressLine progress(streams);
    result = ingest(
        writer, paths, password,
        [&](const IngestEvent& event) {
          if (event.kind == IngestEvent::Kind::progress && event.pages > 0) {
            progress.show("reading " + plain_for_terminal(event.path) + ": page " + std::to_string(event.pages_read) +
                          " of " + std::to_string(event.pages) + time_left(event.seconds_left));
          } else if (event.kind == IngestEvent::Kind::finished && !event.problem.empty()) {
            progress.clear();
            streams.err << plain_for_terminal(event.path) << ": " << plain_for_terminal(event.problem) << std::endl;
          }
        },
        stop);
  }
  for (const IngestResult::Failure& failure : result.failures) {
    std::string problem = plain_for_terminal(failure.problem);
    const std::string path = plain_for_terminal(failure.path);
    if (!problem.starts_with(path)) problem = path + ": " + problem;
    streams.err << "lectern-cli: " << problem << std::endl;
  }
  for (const std::string& note : result.notes) streams.err << plain_for_terminal(note) << std::endl;
  added.failures = result.failures.size();
  added.seconds = result.seconds;
  added.documents = writer.call([&](Database& database) {
    SessionStore store(database);
    std::vector<std::string> documents = store.documents(session);
    const std::size_t before = documents.size();
    for (const std::string& fingerprint : result.fingerprints) {
      if (std::find(documents.begin(), documents.end(), fingerprint) == documents.end())
        documents.push_back(fingerprint);
    }
    if (documents.size() != before) store.set_documents(session, documents);
    return documents.size();
  });
  return added;
}

std::string read_all(std::istream& in) {
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

std::string trimmed(const std::string& text) {
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

std::vector<std::string> questions_of(const std::string& file, std::istream& in) {
  std::string text;
  if (file == "-") {
    text = read_all(in);
  } else {
    std::ifstream stream(file, std::ios::binary);
    if (!stream || std::filesystem::is_directory(file))
      throw CliError(file + ": it cannot be opened; check the name of the file with the questions");
    text = read_all(stream);
  }
  if (text.starts_with("\xEF\xBB\xBF")) text.erase(0, 3);  // the mark that some editors put before UTF-8
  std::vector<std::string> questions;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line = trimmed(line); !line.empty()) questions.push_back(line);
  }
  if (questions.empty()) throw CliError(file + ": there is no question in it; write one a line");
  return questions;
}

void print_answer(const Message& answer, bool json, const CliStreams& streams) {
  if (json) {
    streams.out << one_line(answer_json(answer)) << std::endl;
  } else {
    if (answer.text.empty() || answer.text.back() != '\n') streams.out << '\n';
    streams.out << answer_footer(answer) << std::flush;
  }
}

std::string reading_line(std::int64_t read, std::int64_t total, double seconds_left) {
  return "reading " + with_thousands(read) + " of " + with_thousands(total) + " tokens" + time_left(seconds_left);
}

/// Answers that are written at the same time, printed one after another in the order of the questions: the text of the
/// first unfinished one as it comes, the others when their turn does.
class AnswersInOrder {
 public:
  AnswersInOrder(const std::vector<std::string>& questions, bool json, const CliStreams& streams)
      : questions_(questions), json_(json), streams_(streams), progress_(streams), answers_(questions.size()) {}

  void reading(std::int64_t read, std::int64_t total, double seconds_left) {
    const std::scoped_lock lock(mutex_);
    if (!has_text_) progress_.show(reading_line(read, total, seconds_left));
  }
  void text(std::size_t index, std::string_view more) {
    const std::scoped_lock lock(mutex_);
    has_text_ = true;
    progress_.clear();
    answers_[index].waiting += more;
    show();
  }
  void finished(std::size_t index, const Message& answer) {
    const std::scoped_lock lock(mutex_);
    progress_.clear();
    answers_[index].message = answer;
    show();
  }
  std::size_t failed() const { return failed_; }

 private:
  struct Answer {
    std::string waiting;  // text not printed yet
    bool is_begun = false;
    std::optional<Message> message;  // once it is finished
  };

  /// Prints all that can be printed now.
  void show() {
    for (; at_ < answers_.size(); ++at_) {
      Answer& answer = answers_[at_];
      const bool has_failed = answer.message && answer.message->state == MessageState::failed;
      const bool is_empty = answer.message && answer.message->text.empty() && answer.waiting.empty();
      // Of what was stopped before it began there is nothing to show.
      const bool is_shown = !(is_empty && answer.message->state == MessageState::stopped);
      if (!json_ && is_shown && !answer.is_begun && (answer.message || !answer.waiting.empty())) {
        streams_.out << "> " << plain_for_terminal(questions_[at_]) << "\n\n";
        answer.is_begun = true;
      }
      if (!json_ && !answer.waiting.empty()) {
        streams_.out << plain_for_terminal(answer.waiting) << std::flush;
        answer.waiting.clear();
      }
      if (!answer.message) return;
      if (has_failed) {
        ++failed_;
        streams_.err << "lectern-cli: " << plain_for_terminal(answer.message->problem) << std::endl;
      } else if (is_shown) {
        print_answer(*answer.message, json_, streams_);
        if (!json_) streams_.out << '\n';
      }
    }
  }

  const std::vector<std::string>& questions_;
  const bool json_;
  const CliStreams& streams_;
  std::mutex mutex_;
  ProgressLine progress_;
  bool has_text_ = false;
  std::vector<Answer> answers_;
  std::size_t at_ = 0, failed_ = 0;
};

/// Returns how many failed.
std::size_t ask_together(AnswerService& service, std::int64_t session, const std::vector<std::string>& questions,
                         const AskOptions& options, bool json, const CliStreams& streams, std::stop_token stop) {
  AnswersInOrder answers(questions, json, streams);
  BatchObserver observer;
  observer.reading = [&](std::size_t, std::int64_t read, std::int64_t total, double seconds_left) {
    answers.reading(read, total, seconds_left);
  };
  observer.text = [&](std::size_t index, std::string_view text) { answers.text(index, text); };
  observer.finished = [&](std::size_t index, const Message& answer) { answers.finished(index, answer); };
  (void)service.ask_together(session, questions, options, observer, stop);
  return answers.failed();
}

void tell_what_is_not_kept(inference::Engine& engine, const CliStreams& streams) {
  const std::string problem = engine.finish_keeping();
  if (problem.empty()) return;
  streams.err << "lectern-cli: what was read is not kept for the next time: " << plain_for_terminal(problem)
              << std::endl;
}

}  // namespace

std::unique_ptr<inference::Engine> open_engine(const std::string& model, const Settings& settings,
                                               std::optional<std::int64_t> window) {
  inference::LocalEngineOptions options;
  options.file = choose_model(models_folder(), model.empty() ? settings.model : model);
  options.threads = settings.threads;
  if (window) {
    options.window = window;
  } else if (settings.window_tokens > 0) {
    options.window = settings.window_tokens;
  }
  keep_readings(settings, kept_folder(), options);
  return inference::open_local_engine(options);
}

int ask(const Arguments& given, const CliStreams& streams, std::stop_token stop) {
  const CliArguments arguments(
      "ask", given,
      {{"--json", "--follow-up"},
       {"--model", "--session", "--context", "--max-tokens", "--temperature", "--seed", "--questions", "--password"}});
  std::vector<std::string> paths = arguments.operands();
  std::vector<std::string> questions;
  const std::optional<std::string> file = arguments.value("--questions");
  if (arguments.has("--follow-up") && !file) throw CliUsageError("--follow-up: it goes with --questions FILE");
  if (!file) {
    if (paths.empty()) throw CliUsageError("question: it is missing; lectern-cli ask [PATH...] QUESTION");
    questions = {trimmed(paths.back() == "-" ? read_all(streams.in) : paths.back())};
    paths.pop_back();
    if (questions[0].empty()) throw CliUsageError("question: it is empty");
  }
  const LoadedSettings settings = load_settings(settings_file());
  if (!settings.warning.empty()) streams.err << settings.warning << std::endl;
  AskOptions options;
  options.sampling = settings.settings.sampling;
  options.max_tokens = arguments.integer("--max-tokens", 1, 1'000'000).value_or(settings.settings.max_tokens);
  if (const auto temperature = arguments.number("--temperature", 0, 5))
    options.sampling.temperature = static_cast<float>(*temperature);
  if (const auto seed = arguments.integer("--seed", 0, INT64_MAX))
    options.sampling.seed = static_cast<std::uint64_t>(*seed);
  const std::optional<std::int64_t> window = arguments.integer("--context", 256, 16'777'216);
  const bool json = arguments.has("--json");

  DatabaseWriter writer(library_file());
  const OpenedSession session = open_session(writer, arguments.value("--session"));
  streams.err << "session " << session.id << std::endl;
  const auto forget_empty = [&] {
    if (session.is_new) writer.call([&](Database& database) { SessionStore(database).remove(session.id); });
  };
  Added added;
  std::unique_ptr<inference::Engine> engine;
  try {
    if (file) questions = questions_of(*file, streams.in);
    if (paths.empty() && session.is_new)
      throw CliUsageError("PATH: the session is new and has no documents; name a file or a folder");
    added = add_paths(writer, session.id, paths, arguments.value("--password").value_or(""), streams, stop);
    if (added.failures > 0 && added.failures >= paths.size() && added.documents == 0) {
      forget_empty();
      return 1;  // each failure has said why
    }
    if (added.documents == 0 && !stop.stop_requested()) {
      throw CliUsageError("PATH: the session has no documents; name a file or a folder");
    }
    if (!stop.stop_requested())
      engine = open_engine(arguments.value("--model").value_or(""), settings.settings, window);
  } catch (...) {
    forget_empty();
    throw;
  }
  options.ingest_s = added.seconds;

  std::size_t failed = 0;
  std::optional<AnswerService> service;
  if (engine) service.emplace(*engine, writer);
  const bool follows_up = arguments.has("--follow-up");
  const bool together = file && !follows_up && questions.size() > 1;
  if (together && service && !stop.stop_requested())
    failed = ask_together(*service, session.id, questions, options, json, streams, stop);
  for (const std::string& question : questions) {
    if (together || stop.stop_requested()) break;
    if (!json && questions.size() > 1) streams.out << "> " << plain_for_terminal(question) << "\n\n";
    ProgressLine progress(streams);
    AskObserver observer;
    observer.reading = [&](std::int64_t read, std::int64_t total, double seconds_left) {
      progress.show(reading_line(read, total, seconds_left));
    };
    observer.text = [&](std::string_view text) {
      progress.clear();
      if (!json) streams.out << plain_for_terminal(text) << std::flush;
    };
    try {
      const std::int64_t parent = file && !follows_up ? -1 : 0;
      const Message answer = service->ask(session.id, question, parent, options, observer, stop);
      progress.clear();
      print_answer(answer, json, streams);
      if (!json && questions.size() > 1) streams.out << '\n';
    } catch (const std::exception& error) {
      progress.clear();
      if (questions.size() == 1) throw;
      ++failed;
      streams.err << "lectern-cli: " << plain_for_terminal(error.what()) << std::endl;
    }
    options.ingest_s = 0;
  }
  if (stop.stop_requested())
    streams.err << "lectern-cli: stopped: what was read and written is kept in session " << session.id << std::endl;
  if (engine) tell_what_is_not_kept(*engine, streams);
  return failed > 0 && failed == questions.size() ? 1 : 0;
}

/// The model reads the documents, so that the first question finds them kept. Without a model the text alone is there.
void read_into_context(DatabaseWriter& writer, std::int64_t session, const std::string& model,
                       const CliStreams& streams, std::stop_token stop) {
  const LoadedSettings settings = load_settings(settings_file());
  if (settings.settings.kept_gigabytes == 0) return;
  std::unique_ptr<inference::Engine> engine;
  try {
    engine = open_engine(model, settings.settings, std::nullopt);
  } catch (const std::exception& error) {
    if (!model.empty()) throw;
    streams.err << plain_for_terminal(error.what()) << "; the model will read with the first question" << std::endl;
    return;
  }
  ProgressLine progress(streams);
  AskObserver observer;
  observer.reading = [&](std::int64_t read, std::int64_t total, double seconds_left) {
    progress.show(reading_line(read, total, seconds_left));
  };
  const AnswerReport report = AnswerService(*engine, writer).read(session, observer, stop);
  progress.clear();
  tell_what_is_not_kept(*engine, streams);
  const inference::Usage& usage = report.usage;
  if (usage.prompt_tokens == 0) {
    streams.out << "the documents do not fit in the window of " << with_thousands(report.model.window)
                << " tokens: passages will be chosen for each question\n";
  } else {
    streams.out << with_thousands(usage.reused_tokens + usage.loaded_tokens + usage.computed_tokens) << " of "
                << with_thousands(usage.prompt_tokens) << " tokens are kept, " << with_thousands(usage.computed_tokens)
                << " of them read now\n";
  }
}

int read(const Arguments& given, const CliStreams& streams, std::stop_token stop) {
  const CliArguments arguments("read", given, {{}, {"--session", "--password", "--model"}});
  if (arguments.operands().empty())
    throw CliUsageError("PATH: it is missing; lectern-cli read [--session NAME] PATH...");
  DatabaseWriter writer(library_file());
  const OpenedSession session = open_session(writer, arguments.value("--session"));
  streams.err << "session " << session.id << std::endl;
  const Added added =
      add_paths(writer, session.id, arguments.operands(), arguments.value("--password").value_or(""), streams, stop);
  if (added.documents == 0) {
    if (session.is_new) writer.call([&](Database& database) { SessionStore(database).remove(session.id); });
    if (added.failures == 0) throw CliError("read: nothing was read");
    return 1;
  }
  const auto rows = writer.call([&](Database& database) {
    std::vector<DocumentRow> found;
    for (const std::string& fingerprint : SessionStore(database).documents(session.id)) {
      if (const auto row = Library(database).row(fingerprint)) found.push_back(*row);
    }
    return found;
  });
  for (const DocumentRow& row : rows) {
    streams.out << plain_for_terminal(row.collection.empty() ? row.name : row.collection + "/" + row.name) << ": "
                << with_thousands(row.pages) << (row.pages == 1 ? " page" : " pages");
    if (row.pages_without_text > 0) streams.out << ", " << with_thousands(row.pages_without_text) << " without text";
    streams.out << '\n';
  }
  if (!stop.stop_requested())
    read_into_context(writer, session.id, arguments.value("--model").value_or(""), streams, stop);
  if (stop.stop_requested())
    streams.err << "lectern-cli: stopped: what was read is kept in session " << session.id << std::endl;
  return 0;
}

}  // namespace lectern::app::cli
