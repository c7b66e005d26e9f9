// The calling thread does the work around the engine and, while the engine answers, wakes a few times a second to save
// what has arrived: so a killed process loses at most the last second, and the engine's thread never waits for the
// disk.
#include "app/answer_service.h"

#include <algorithm>
#include <chrono>
#include <mutex>

#include "app/citations.h"
#include "app/coverage.h"
#include "app/evidence.h"
#include "app/library.h"
#include "app/prompt_builder.h"
#include "app/question_passages.h"
#include "app/session_store.h"
#include "documents/quote_match.h"
#include "documents/utf8.h"
#include "kernels/error.h"

namespace lectern::app {

using inference::Role;

namespace {

constexpr auto save_interval = std::chrono::milliseconds(500);
constexpr auto batch_interval =
    std::chrono::milliseconds(200);                       // an answer that ends before its predecessors is looked for
constexpr std::int64_t searched_whole_bytes = 2'000'000;  // above this the full-text index chooses what is ranked
constexpr int ranked_hits = 60;

std::int64_t now_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

std::vector<Message> chain_to(const SessionStore& store, std::int64_t last) {
  std::vector<Message> chain;
  for (std::int64_t id = last; id > 0;) {
    std::optional<Message> message = store.message(id);
    if (!message) break;
    id = message->parent;
    chain.push_back(std::move(*message));
  }
  std::reverse(chain.begin(), chain.end());
  return chain;
}

/// Collects the streamed text; the waiting thread takes copies of it.
class Stream : public inference::RequestObserver {
 public:
  explicit Stream(const AskObserver& observer) : observer_(observer) {}

  void on_reading(std::int64_t read, std::int64_t total, double seconds_left) override {
    if (observer_.reading) observer_.reading(read, total, seconds_left);
  }
  void on_text(std::string_view text) override {
    {
      const std::scoped_lock lock(mutex_);
      text_ += text;
    }
    if (observer_.text) observer_.text(text);
  }
  std::string text() const {
    const std::scoped_lock lock(mutex_);
    return text_;
  }

 private:
  const AskObserver observer_;  // a copy: the request may outlive the caller's
  mutable std::mutex mutex_;
  std::string text_;
};

/// `saved`: bytes that the database has.
void save_partial(DatabaseWriter& writer, std::int64_t answer, std::string text, std::size_t& saved) {
  if (text.size() == saved) return;
  saved = text.size();
  writer.post(
      [answer, text = std::move(text)](Database& database) { SessionStore(database).save_partial(answer, text); });
}

}  // namespace

std::string conversation_of(std::int64_t session) {
  return session == 0 ? std::string() : "session-" + std::to_string(session);
}

struct AnswerService::LoadedDocument {
  explicit LoadedDocument(documents::Document read) : document(std::move(read)), quotes(document) {}
  documents::Document document;
  documents::QuoteIndex quotes;
};

/// What an answer is made from.
struct AnswerService::Prepared {
  Loaded loaded;
  std::vector<std::string> fingerprints;
  Prompt prompt;
  inference::GenerationRequest request;
};

AnswerService::AnswerService(inference::Engine& engine, DatabaseWriter& writer) : engine_(engine), writer_(writer) {}
AnswerService::~AnswerService() = default;

AnswerService::Loaded AnswerService::load(std::int64_t session) {
  return load(session,
              writer_.call([session](Database& database) { return SessionStore(database).documents(session); }));
}

AnswerService::Loaded AnswerService::load(std::int64_t session, const std::vector<std::string>& fingerprints) {
  std::map<std::string, std::shared_ptr<const LoadedDocument>> kept;
  Loaded documents;
  for (const std::string& fingerprint : fingerprints) {
    auto& document = kept[fingerprint];
    if (document) continue;  // listed twice
    if (const auto found = loaded_.find(fingerprint); found != loaded_.end()) {
      document = found->second;
    } else {
      std::optional<documents::Document> read =
          writer_.call([fingerprint](Database& database) { return Library(database).load(fingerprint); });
      if (!read) {
        throw Error(ErrorKind::bad_request, "session " + std::to_string(session) + ": a document (" + fingerprint +
                                                ") is no longer in the library; add the file again");
      }
      document = std::make_shared<const LoadedDocument>(std::move(*read));
    }
    documents.push_back(document);
  }
  loaded_ = std::move(kept);
  return documents;
}

std::int64_t AnswerService::tokens_of(const LoadedDocument& document) {
  const inference::ModelDescription model = engine_.describe();
  const std::string& fingerprint = document.document.fingerprint;
  const auto known =
      writer_.call([&](Database& database) { return Library(database).tokens(fingerprint, model.file); });
  if (known) return *known;
  const std::int64_t tokens =
      document_tokens(document.document, [this](std::string_view text) { return engine_.count_tokens(text); });
  writer_.call([&](Database& database) { Library(database).set_tokens(fingerprint, model.file, tokens); });
  return tokens;
}

Message AnswerService::ask(std::int64_t session, const std::string& question, std::int64_t parent,
                           const AskOptions& options, const AskObserver& observer, std::stop_token stop) {
  Message asked;
  asked.session = session;
  asked.role = Role::user;
  asked.text = question;
  asked.created_ms = now_ms();
  std::vector<Message> history = writer_.call([&](Database& database) {
    SessionStore store(database);
    std::vector<Message> before;
    if (parent > 0) {
      before = chain_to(store, parent);
      if (before.empty() || before.back().session != session) {
        throw Error(ErrorKind::bad_request, "message " + std::to_string(parent) + ": it is not part of this session");
      }
    } else if (parent == 0) {
      before = store.branch(session);
    }
    asked.parent = before.empty() ? 0 : before.back().id;
    asked.id = store.add_message(asked);
    return before;
  });
  return answer(session, asked, std::move(history), options, observer, stop);
}

Message AnswerService::regenerate(std::int64_t session, std::int64_t answer_id, const AskOptions& options,
                                  const AskObserver& observer, std::stop_token stop) {
  std::vector<Message> history = writer_.call([&](Database& database) {
    const SessionStore store(database);
    const std::optional<Message> old = store.message(answer_id);
    if (!old || old->session != session || old->role != Role::assistant || old->parent == 0) {
      throw Error(ErrorKind::bad_request, "message " + std::to_string(answer_id) + ": it is no answer of this session");
    }
    return chain_to(store, old->parent);
  });
  const Message question = std::move(history.back());
  history.pop_back();
  return answer(session, question, std::move(history), options, observer, stop);
}

Message AnswerService::answer(std::int64_t session, const Message& question, std::vector<Message> history,
                              const AskOptions& options, const AskObserver& observer, std::stop_token stop) {
  Message answer;
  answer.session = session;
  answer.parent = question.id;
  answer.role = Role::assistant;
  answer.state = MessageState::partial;
  answer.created_ms = now_ms();
  answer.id = writer_.call([&](Database& database) { return SessionStore(database).add_message(answer); });
  if (observer.started) observer.started(question.id, answer.id);
  try {
    Prepared prepared = prepare(question, std::move(history), options);
    const auto stream = std::make_shared<Stream>(observer);
    std::future<inference::GenerationResult> future = engine_.submit(std::move(prepared.request), stream, stop);
    std::size_t saved = 0;
    while (future.wait_for(save_interval) != std::future_status::ready)
      save_partial(writer_, answer.id, stream->text(), saved);
    answer.text = stream->text();  // what a failure in the middle leaves
    prove(answer, question, prepared, future.get(), options.ingest_s);
  } catch (const std::exception& error) {
    save_failed(answer, error.what());
    throw;
  }
  writer_.call([&](Database& database) { SessionStore(database).finish_message(answer); });
  return answer;
}

void AnswerService::save_failed(Message& answer, const std::string& problem) {
  answer.state = MessageState::failed;
  answer.problem = problem;
  // The first error is the one to report, even if the database is what failed.
  try {
    writer_.call([&](Database& database) { SessionStore(database).finish_message(answer); });
  } catch (const std::exception&) {
  }
}

std::vector<Message> AnswerService::ask_together(std::int64_t session, const std::vector<std::string>& questions,
                                                 const AskOptions& options, const BatchObserver& observer,
                                                 std::stop_token stop) {
  struct Asked {
    Message question;
    std::optional<Prepared> prepared;
    std::shared_ptr<Stream> stream;
    std::future<inference::GenerationResult> future;  // not valid once it is finished
    std::size_t saved = 0;
  };
  std::vector<Asked> all(questions.size());
  std::vector<Message> answers(questions.size());
  writer_.call([&](Database& database) {
    SessionStore store(database);
    for (std::size_t index = 0; index < questions.size(); ++index) {
      Message& question = all[index].question;
      question.session = session;
      question.role = Role::user;
      question.text = questions[index];
      question.created_ms = now_ms();
      question.id = store.add_message(question);
      Message& answer = answers[index];
      answer.session = session;
      answer.parent = question.id;
      answer.role = Role::assistant;
      answer.state = MessageState::partial;
      answer.created_ms = now_ms();
      answer.id = store.add_message(answer);
    }
  });
  const auto fail = [&](std::size_t index, const std::exception& error) {
    save_failed(answers[index], error.what());
    if (observer.finished) observer.finished(index, answers[index]);
  };

  std::vector<inference::BatchItem> items;
  std::vector<std::size_t> submitted;
  for (std::size_t index = 0; index < all.size(); ++index) {
    Asked& asked = all[index];
    try {
      asked.prepared = prepare(asked.question, {}, options);
    } catch (const std::exception& error) {
      fail(index, error);
      continue;
    }
    AskObserver one;
    if (observer.reading)
      one.reading = [index, reading = observer.reading](std::int64_t read, std::int64_t total, double seconds_left) {
        reading(index, read, total, seconds_left);
      };
    if (observer.text) one.text = [index, text = observer.text](std::string_view more) { text(index, more); };
    asked.stream = std::make_shared<Stream>(one);
    items.push_back({std::move(asked.prepared->request), asked.stream, stop});
    submitted.push_back(index);
  }
  std::vector<std::future<inference::GenerationResult>> futures = engine_.submit_batch(std::move(items));
  for (std::size_t at = 0; at < futures.size(); ++at) all[submitted[at]].future = std::move(futures[at]);

  // Answers end in any order; the wait is for whichever is first in the list.
  while (true) {
    bool is_waiting = false;
    for (std::size_t index = 0; index < all.size(); ++index) {
      Asked& asked = all[index];
      if (!asked.future.valid()) continue;
      const auto patience = is_waiting ? std::chrono::milliseconds(0) : batch_interval;
      if (asked.future.wait_for(patience) != std::future_status::ready) {
        is_waiting = true;
        save_partial(writer_, answers[index].id, asked.stream->text(), asked.saved);
        continue;
      }
      Message& answer = answers[index];
      try {
        answer.text = asked.stream->text();  // what a failure in the middle leaves
        prove(answer, asked.question, *asked.prepared, asked.future.get(), index == 0 ? options.ingest_s : 0);
        writer_.call([&](Database& database) { SessionStore(database).finish_message(answer); });
        if (observer.finished) observer.finished(index, answer);
      } catch (const std::exception& error) {
        fail(index, error);
      }
      asked.prepared.reset();
    }
    if (!is_waiting) break;
  }
  return answers;
}

AnswerService::Prepared AnswerService::prepare(const Message& question, std::vector<Message> history,
                                               const AskOptions& options) {
  Prepared prepared;
  prepared.loaded = load(question.session);
  PromptInput input;
  input.history = std::move(history);
  input.question = question;
  input.max_tokens = options.max_tokens;
  for (const auto& document : prepared.loaded) {
    input.documents.push_back(&document->document);
    prepared.fingerprints.push_back(document->document.fingerprint);
  }
  input.search = [&](const std::string& text, int limit) {
    return writer_.call(
        [&](Database& database) { return Library(database).search(prepared.fingerprints, text, limit); });
  };
  prepared.prompt = PromptBuilder(engine_).build(input);
  inference::GenerationRequest& request = prepared.request;
  request.conversation = conversation_of(question.session);
  request.segments = prepared.prompt.segments;
  request.sampling = options.sampling;
  request.stop_repetition = true;
  request.max_tokens = options.max_tokens;
  return prepared;
}

void AnswerService::prove(Message& answer, const Message& question, const Prepared& prepared,
                          inference::GenerationResult result, double ingest_s) {
  const Loaded& loaded = prepared.loaded;
  const Prompt& prompt = prepared.prompt;
  answer.text = std::move(result.text);
  answer.token_ids = std::move(result.token_ids);
  answer.state =
      result.finish_reason == inference::FinishReason::cancelled ? MessageState::stopped : MessageState::complete;

  AnswerReport report;
  report.finish_reason = result.finish_reason;
  report.usage = result.usage;
  report.timing = result.timing;
  report.ingest_s = ingest_s;
  report.model = engine_.describe();
  report.turns_left_out = prompt.turns_left_out;

  std::vector<GivenDocument> given;
  std::vector<SourceDocument> sources;
  std::vector<EvidencePassage> in_prompt, in_documents;
  std::int64_t bytes = 0;
  for (const auto& document : loaded) {
    for (const documents::Page& page : document->document.pages) bytes += static_cast<std::int64_t>(page.text.size());
  }
  const bool rank_all = bytes <= searched_whole_bytes;
  for (std::size_t at = 0; at < loaded.size(); ++at) {
    const documents::Document& document = loaded[at]->document;
    given.push_back({&document, prompt.whole_documents, prompt.given[at], tokens_of(*loaded[at])});
    sources.push_back({&document, &loaded[at]->quotes});
    for (const documents::Page& page : document.pages) {
      const EvidencePassage whole{static_cast<int>(at), page.number, 0, page.text};
      if (rank_all) in_documents.push_back(whole);
      if (prompt.whole_documents) in_prompt.push_back(whole);
      for (const documents::Passage& passage : prompt.given[at]) {
        if (passage.page != page.number) continue;
        in_prompt.push_back({static_cast<int>(at), page.number, passage.start,
                             std::string(documents::slice(page.text, passage.start, passage.end))});
      }
    }
  }
  if (!rank_all) {
    const std::vector<PassageHit> hits = writer_.call([&](Database& database) {
      return Library(database).search(prepared.fingerprints, question.text, ranked_hits);
    });
    const std::vector<std::string>& fingerprints = prepared.fingerprints;
    for (const PassageHit& hit : hits) {
      const auto found = std::find(fingerprints.begin(), fingerprints.end(), hit.fingerprint);
      if (found == fingerprints.end()) continue;
      in_documents.push_back({static_cast<int>(found - fingerprints.begin()), hit.page, hit.start, hit.text});
    }
  }
  report.coverage = measure_coverage(given, [this](std::string_view text) { return engine_.count_tokens(text); });
  const Evidence evidence_given(std::move(in_prompt));
  const Evidence evidence_all(std::move(in_documents));
  Proof proof = prove_answer(answer.text, question.text, sources, evidence_given,
                             best_places(evidence_all, question.text, passages_under_answer));
  answer.citations = std::move(proof.citations);
  report.unsupported = std::move(proof.unsupported);
  answer.report = std::move(report);
}

AnswerReport AnswerService::read(std::int64_t session, const AskObserver& observer, std::stop_token stop) {
  return read(session,
              writer_.call([session](Database& database) { return SessionStore(database).documents(session); }),
              observer, std::move(stop));
}

AnswerReport AnswerService::read(std::int64_t session, const std::vector<std::string>& fingerprints,
                                 const AskObserver& observer, std::stop_token stop) {
  const Loaded loaded = load(session, fingerprints);
  std::vector<const documents::Document*> documents;
  for (const auto& document : loaded) documents.push_back(&document->document);
  AnswerReport report;
  report.model = engine_.describe();
  inference::GenerationRequest request;
  request.conversation = conversation_of(session);
  request.segments = PromptBuilder(engine_).documents_only(documents);
  request.max_tokens = 0;
  const bool whole = !request.segments.empty();
  if (whole && !documents.empty()) {
    inference::GenerationResult result =
        engine_.submit(std::move(request), std::make_shared<Stream>(observer), stop).get();
    report.finish_reason = result.finish_reason;
    report.usage = result.usage;
    report.timing = result.timing;
  }
  std::vector<GivenDocument> given;
  for (const auto& document : loaded) given.push_back({&document->document, whole, {}, tokens_of(*document)});
  report.coverage = measure_coverage(given, [this](std::string_view text) { return engine_.count_tokens(text); });
  return report;
}

}  // namespace lectern::app
