// What the next question would cost, and what another choice of documents would.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "app/database_writer.h"
#include "app/workspace.h"
#include "inference/engine.h"

namespace lectern::app {

/// One thread: it waits for the engine's plans and, while a document is new to the model, counts its tokens. Throws
/// lectern::Error or DatabaseError. The writer must outlive it.
class ContextPlanner {
 public:
  explicit ContextPlanner(DatabaseWriter& writer) : writer_(writer) {}

  /// `engine` may be null: then the parts have no tokens. `room`: tokens that the answer needs.
  ContextUse measure(inference::Engine* engine, std::int64_t session, const std::vector<std::string>& fingerprints,
                     std::int64_t room);
  /// Nothing is read again where either of the two does not fit the window.
  DocumentsPrice price(inference::Engine* engine, std::int64_t session, const std::vector<std::string>& from,
                       const std::vector<std::string>& to);

 private:
  struct Documents {
    std::vector<std::shared_ptr<const documents::Document>> list;  // in order, those of the library alone
    std::vector<const documents::Document*> pointers() const;
  };
  struct Kept {  // of one document
    std::int64_t tokens = 0, kept = 0;
  };
  Documents load(Database& database, const std::vector<std::string>& fingerprints);
  std::int64_t document_tokens_of(Database& database, inference::Engine& engine, const documents::Document& document);
  std::int64_t segment_tokens(inference::Engine& engine, const inference::Segment& segment);
  std::vector<Kept> kept_of(inference::Engine& engine, const std::vector<inference::Segment>& segments,
                            std::int64_t documents_end, std::int64_t kept);
  double speed(Database& database, const std::string& model_file);

  DatabaseWriter& writer_;
  std::map<std::string, std::shared_ptr<const documents::Document>> loaded_;  // without geometry, by fingerprint
  std::map<std::pair<std::string, std::size_t>, std::int64_t> counted_;       // by id and length of a document segment
  std::string counted_model_;
};

}  // namespace lectern::app
