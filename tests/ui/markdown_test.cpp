#include <QTest>

#include "tests/ui/ui_tests.h"

namespace lectern::testing {

class MarkdownTest : public QObject {
  Q_OBJECT
};

std::unique_ptr<QObject> markdown_test() {
  return std::make_unique<MarkdownTest>();
}

}  // namespace lectern::testing

#include "markdown_test.moc"
