#include <QTest>

#include "tests/ui/ui_tests.h"

namespace lectern::testing {

class ConversationTest : public QObject {
  Q_OBJECT
};

std::unique_ptr<QObject> conversation_test() {
  return std::make_unique<ConversationTest>();
}

}  // namespace lectern::testing

#include "conversation_test.moc"
