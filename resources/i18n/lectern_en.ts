<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE TS>
<TS version="2.1" language="en" sourcelanguage="en">
    <context>
        <name>lectern::ui::AnswerView</name>
        <message numerus="yes">
            <source>%n verified</source>
            <translation>
                <numerusform>%n verified</numerusform>
                <numerusform>%n verified</numerusform>
            </translation>
        </message>
        <message numerus="yes">
            <source>%n found elsewhere</source>
            <translation>
                <numerusform>%n found elsewhere</numerusform>
                <numerusform>%n found elsewhere</numerusform>
            </translation>
        </message>
        <message numerus="yes">
            <source>%n not in the documents</source>
            <translation>
                <numerusform>%n not in the documents</numerusform>
                <numerusform>%n not in the documents</numerusform>
            </translation>
        </message>
        <message numerus="yes">
            <source>Not supported by the text: %n sentence(s), underlined above</source>
            <translation>
                <numerusform>Not supported by the text: %n sentence, underlined above</numerusform>
                <numerusform>Not supported by the text: %n sentences, underlined above</numerusform>
            </translation>
        </message>
    </context>
    <context>
        <name>lectern::ui::LibraryModel</name>
        <message numerus="yes">
            <source>%n page(s) without text (scan)</source>
            <translation>
                <numerusform>%n page without text (scan)</numerusform>
                <numerusform>%n pages without text (scan)</numerusform>
            </translation>
        </message>
        <message numerus="yes">
            <source>%n page(s)</source>
            <translation>
                <numerusform>%n page</numerusform>
                <numerusform>%n pages</numerusform>
            </translation>
        </message>
        <message numerus="yes">
            <source>%n file(s)</source>
            <translation>
                <numerusform>%n file</numerusform>
                <numerusform>%n files</numerusform>
            </translation>
        </message>
        <message numerus="yes">
            <source>%n failed</source>
            <translation>
                <numerusform>%n failed</numerusform>
                <numerusform>%n failed</numerusform>
            </translation>
        </message>
        <message numerus="yes">
            <source>Session %1, %n message(s)</source>
            <translation>
                <numerusform>Session %1, %n message</numerusform>
                <numerusform>Session %1, %n messages</numerusform>
            </translation>
        </message>
    </context>
    <context>
        <name>lectern::ui::QuestionBox</name>
        <message numerus="yes">
            <source>Ask about %n document(s)…</source>
            <translation>
                <numerusform>Ask about %n document…</numerusform>
                <numerusform>Ask about %n documents…</numerusform>
            </translation>
        </message>
    </context>
</TS>
