// The real host with the real lectern-reader.
#include "app/ingest_host.h"

#include <QElapsedTimer>
#include <QSet>
#include <QSignalSpy>
#include <QTest>
#include <memory>

#include "app/library.h"
#include "tests/app/temporary_folder.h"

using lectern::app::Database;
using lectern::app::DatabaseWriter;
using lectern::app::DocumentRow;
using lectern::app::DocumentState;
using lectern::app::IngestHost;
using lectern::app::Library;
using lectern::app::testing::TemporaryFolder;

class IngestHostTest : public QObject {
  Q_OBJECT

 private Q_SLOTS:
  void init() {
    folder_ = std::make_unique<TemporaryFolder>();
    writer_ = std::make_unique<DatabaseWriter>(folder_->file("library.sqlite"));
    host_ = std::make_unique<IngestHost>(*writer_);
  }
  void cleanup() {
    host_.reset();
    writer_.reset();
    folder_.reset();
  }

  void shows_a_row_at_once_and_moves_it_to_the_library() {
    QSignalSpy finished(host_.get(), &IngestHost::finished);
    QSignalSpy changed(host_.get(), &IngestHost::changed);
    const QString path = write("a.txt", "text\n");
    host_->add({path});
    QVERIFY(host_->is_busy());
    QCOMPARE(host_->rows().size(), std::size_t{1});
    QCOMPARE(QString::fromStdString(host_->rows()[0].name), QStringLiteral("a.txt"));
    QVERIFY(host_->rows()[0].state == DocumentState::reading);
    QVERIFY(finished.wait(20'000));
    QCOMPARE(finished[0][0].toString(), path);
    QTRY_VERIFY(!host_->is_busy());
    QTRY_VERIFY(host_->rows().empty());
    QVERIFY(changed.size() >= 2);
    const std::string fingerprint = finished[0][1].toString().toStdString();
    QVERIFY(writer_->call([&](Database& database) { return Library(database).contains(fingerprint); }));
  }

  void keeps_the_row_of_a_bad_file_until_it_is_dismissed() {
    QSignalSpy failed(host_.get(), &IngestHost::failed);
    const QString bad = write("bad.pdf", "no PDF at all, although its name says so\n");
    const QString good = write("good.txt", "text\n");
    host_->add({bad, good});
    QVERIFY(failed.wait(20'000));
    QTRY_VERIFY(!host_->is_busy());
    QTRY_COMPARE(host_->rows().size(), std::size_t{1});
    const DocumentRow row = host_->rows()[0];
    QVERIFY(row.state == DocumentState::failed);
    QVERIFY(!row.problem.empty());
    QCOMPARE(failed.size(), 1);
    QCOMPARE(failed[0][0].toString(), bad);
    QCOMPARE(failed[0][2].toBool(), false);
    host_->dismiss(bad);
    QVERIFY(host_->rows().empty());
  }

  void replaces_the_row_of_a_folder_by_those_of_its_files() {
    QSignalSpy finished(host_.get(), &IngestHost::finished);
    QSignalSpy noted(host_.get(), &IngestHost::noted);
    write("tree/a.cpp", "int a();\n");
    write("tree/b.cpp", "int b();\n");
    write("tree/c.bin", QString(200, QChar(0)));
    host_->add({QString::fromStdString(folder_->file("tree"))});
    QTRY_COMPARE_WITH_TIMEOUT(finished.size(), 2, 20'000);
    QTRY_VERIFY(!host_->is_busy());
    QTRY_VERIFY(host_->rows().empty());
    QTRY_COMPARE(noted.size(), 1);
  }

  void takes_one_file_out_of_a_batch_and_reads_the_others() {
    QSignalSpy finished(host_.get(), &IngestHost::finished);
    QStringList paths;
    for (int i = 0; i < 12; ++i)
      paths << write(QString::number(i) + QStringLiteral(".txt"), QString::number(i) + u'\n');
    host_->add(paths);
    host_->dismiss(paths.back());
    QCOMPARE(host_->rows().size(), std::size_t{11});
    QTRY_VERIFY_WITH_TIMEOUT(!host_->is_busy(), 30'000);
    QTRY_VERIFY(host_->rows().empty());
    QSet<QString> read;
    for (const auto& call : finished) read.insert(call[0].toString());
    QCOMPARE(read.size(), 11);
    QVERIFY(!read.contains(paths.back()));
  }

  void says_that_the_library_cannot_be_written() {
    writer_->call([](Database& database) { database.execute("PRAGMA max_page_count = 60"); });
    QSignalSpy failed(host_.get(), &IngestHost::failed);
    QString text;
    for (int i = 0; i < 60'000; ++i) text += QStringLiteral("word%1 ").arg(i);
    const QString path = write("large.txt", text);
    host_->add({path});
    QVERIFY(failed.wait(20'000));
    QVERIFY2(failed[0][1].toString().contains(QStringLiteral("disk is full")), qPrintable(failed[0][1].toString()));
    QTRY_VERIFY(!host_->is_busy());
    QVERIFY(host_->rows()[0].state == DocumentState::failed);
  }

  void ends_while_it_reads() {
    QStringList paths;
    for (int i = 0; i < 50; ++i) paths << write(QString::number(i) + QStringLiteral(".txt"), QStringLiteral("x\n"));
    host_->add(paths);
    QTest::qWait(30);
    QElapsedTimer timer;
    timer.start();
    host_.reset();
    QVERIFY(timer.elapsed() < 10'000);
  }

 private:
  QString write(const QString& name, const QString& text) {
    return QString::fromStdString(folder_->write(name.toStdString(), text.toStdString()));
  }
  QString write(const char* name, const char* text) { return QString::fromStdString(folder_->write(name, text)); }
  QString write(const char* name, const QString& text) { return write(QString::fromUtf8(name), text); }
  QString write(const QString& name, const char* text) { return write(name, QString::fromUtf8(text)); }

  std::unique_ptr<TemporaryFolder> folder_;
  std::unique_ptr<DatabaseWriter> writer_;
  std::unique_ptr<IngestHost> host_;
};

QTEST_GUILESS_MAIN(IngestHostTest)
#include "ingest_host_test.moc"
