// Does the given text support a sentence of an answer? The program's own check, for models that seldom cite and often
// err.
#pragma once

#include <string>
#include <string_view>

#include "app/evidence.h"

namespace lectern::app {

enum class Verdict {
  no_claim,  // a greeting, a question, "Here is the answer:": nothing to support
  supported,
  unsupported,
};

struct Judgement {
  Verdict verdict = Verdict::no_claim;
  EvidencePlace place;  // if supported
};

/// Careful rather than generous: what is called supported has a sentence of the text with most of its weighty words,
/// every number with its unit and every name, the same negations and no exchanged parties. A true sentence in wholly
/// other words, or one that joins two places, comes out unsupported. `question` gives a bare answer ("35 days.") its
/// subject.
class SupportCheck {
 public:
  explicit SupportCheck(const Evidence& evidence) : evidence_(evidence) {}
  /// A place to be preferred where several support the sentence.
  struct Preferred {
    int document = -1, page = 0;
  };
  Judgement judge(std::string_view sentence, std::string_view question, Preferred preferred = {-1, 0}) const;

 private:
  const Evidence& evidence_;
};

}  // namespace lectern::app
