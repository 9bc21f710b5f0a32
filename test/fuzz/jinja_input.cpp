// What Jinja templates are given: the first byte chooses a template, the others are the messages as JSON.
#include <array>

#include "intarsia/chat_template.h"
#include "touch.h"

namespace {

using namespace intarsia;

constexpr std::array sources = {
    // What templates of models do.
    R"({%- set ns = namespace(seen=0, last='') %}{%- for message in messages %}
{{- '<|' + message.role + '|>' }}{% if message.content is string %}{{ message.content | trim }}
{%- elif message.content is iterable %}{% for part in message.content %}{{ part.text or part }}{% endfor %}{% endif %}
{%- if message.tool_calls %}{% for call in message.tool_calls %}{% set call = call.function or call %}
{{- call.name ~ ': ' ~ call.arguments | tojson(indent=2) }}{% for k, v in call.arguments | items %}{{ k }}={{ v }}{% endfor %}
{%- endfor %}{% endif %}{% set ns.seen = ns.seen + 1 %}{% endfor %}{{ ns.seen }})",
    // Methods of text.
    R"({% for m in messages %}{% set c = m.content | string %}{{ c.split('</think>')[-1].lstrip('\n') }}{{ c[1:-1] }}{{ c[::-2] }}
{{ c | upper | lower | title | capitalize }}{{ c.splitlines() | join('|') | indent(2) }}{{ c.replace('a', 'bc', 3) }}
{{ c.find('x') }}{{ c.partition(' ') }}{{ c.rsplit(none, 2) }}{{ c.zfill(12) ~ c.center(20) }}{{ '%5s|%r' % (c, c) }}
{{ '{:>9}{!r}'.format(c, c) }}{{ c | int }}{{ c | float }}{{ c | list | unique | list | length }}{{ c.isdigit() }}{% endfor %})",
    R"({% for m in messages %}{% set c = m.content | string %}{{ c.startswith(('a', 'b')) }}{{ c.endswith('x', -3) }}{{ c.count('a') ~ c.count('') }}
{{ c.removeprefix('a').removesuffix('x') }}{{ c.isascii() }}{{ c.istitle() }}{{ c.isupper() }}{{ c.isalnum() }}{{ c.upper().swapcase().title() }}
{{ '-'.join(c) }}{{ c.rsplit('a', 1) }}{{ c.rpartition(' ') }}{{ c | replace('a', 'bc') | center(30) | safe }}{{ c | first }}{{ c | reverse }}
{{ c | indent('> ', true) | e }}{{ m.copy() }}{{ messages.index(m) }}{{ messages.count(m) }}{{ messages.copy() | map('string') | join }}
{{ c is lower }}{{ c in 'abc' }}{{ c < 'b' }}{{ c ~ c }}{{ c.lstrip('ab').rstrip() }}{% endfor %})",
    // Lists and dictionaries.
    R"({{ messages }}{{ messages | tojson(ensure_ascii=true, sort_keys=true) }}{{ messages | map(attribute='content') | list }}
{{ messages | selectattr('role', 'equalto', 'user') | list | length }}{{ messages[1:] + messages[:1] == messages }}
{% for k, v in messages[0] | dictsort %}{{ k }}{{ v }}{% endfor %}{{ messages | first == messages | last }}{{ messages[0].items() | list }}
{{ messages | batch(2) | list }}{{ messages | reverse | list }})",
    R"({% for x in messages recursive %}[{{ loop.depth }}{{ loop.index }}{% if x is mapping %}{{ loop(x.values()) }}
{%- elif x is sequence and x is not string %}{{ loop(x) }}{% else %}{{ x }}{% endif %}]{% endfor %})",
    R"({{ messages | sort(attribute='content') }}{{ messages | map(attribute='n') | sum }}{{ messages | map(attribute='n') | max }})",
    // Numbers.
    R"({% for m in messages %}{% for v in m.values() %}{% if v is number %}{{ v + 1 }} {{ v - 2.5 }} {{ v * v }} {{ v / 3 }} {{ v % 7 }}
{{ v is odd }} {{ v is divisibleby(3) }} {{ -v }} {{ v | abs }} {{ v | round(2) }} {{ v | round(-1, 'floor') }} {{ v // 3 }} {{ v < 2 <= v }}
{{ '%05d|%+.3f|%e|%g|%-9s' % (v, v, v, v, v) }} {{ '{:,}{:>+9.2f}{:e}{:%}'.format(v, v, v, v) }} {{ v ** 2 }} {{ v | int }}
{{ [1, 2, 3][v % 3] }} {{ range(v % 9) | list }} {{ 'abc' * (v % 4) }} {{ v in [1, 2.5, true] }} {{ messages[v:] }}{% endif %}{% endfor %}{% endfor %})",
    // What is in a dictionary, by macros and groups.
    R"({% macro show(x, depth=0) %}{% if depth < 9 and x is mapping %}{% for k, v in x | items %}{{ k }}:{{ show(v, depth + 1) }};{% endfor %}
{%- elif depth < 9 and x is sequence and x is not string %}{% for v in x %}{{ show(v, depth=depth + 1) }}{% if not loop.last %},{% endif %}{% endfor %}
{%- else %}{{ x | e }}{% endif %}{% endmacro %}{{ show(messages) }}{{ messages | unique(attribute='role') | list }}{{ messages | rejectattr('content') | list | length }}{{ messages | slice(2, 'x') | list }}
{{ messages | map(attribute='content.0.text', default='') | join('|') }}{{ messages | selectattr('n', 'gt', 1) | map(attribute='n') | sum }}
{% filter upper %}{{ messages }}{% endfilter %}{{ messages[0].keys() | list | sort }})",
    R"({% set c = cycler('a', 'b') %}{% set j = joiner('; ') %}{% for m in messages %}{{ j() }}{{ c.next() }}{{ loop.changed(m.role) }}{{ m.get('content', 'x') }}
{{ m.content | default('none', true) | string | length }}{{ m | tojson }}{{ m.role is in ['user', 'tool'] }}{{ m.content is sameas m.content }}
{% if loop.previtem is defined and loop.previtem == m %}{{ raise_exception('twice: ' ~ m) }}{% endif %}{% if m.role not in m %}{% break %}{% endif %}{% endfor %})",
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::array templates = [] {
    std::array<std::shared_ptr<const ChatTemplate>, sources.size()> all;
    for (size_t i = 0; i < all.size(); ++i) all[i] = std::make_shared<ChatTemplate>(sources[i]);
    return all;
  }();
  if (size == 0) return 0;
  fuzz::run(data + 1, size - 1, [&](const auto& file) {
    const ChatText made = templates[data[0] % templates.size()]->render(file->text());
    size_t foreign = 0;
    for (const auto& [begin, end] : made.foreign) {
      fuzz::require(begin >= foreign && begin < end && end <= made.text.size(),
                    "foreign bytes outside of the text");
      foreign = end;
    }
    return static_cast<unsigned>(foreign);
  });
  return 0;
}
