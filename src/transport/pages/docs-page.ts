// The page at /docs: the OpenAPI document as plain HTML, made once at start. No script runs on it, and nothing is loaded from elsewhere.
import { createHash } from 'node:crypto';
import type { OpenApiDocument } from './openapi-document.ts';

type Json = Record<string, unknown>;

export interface DocsPage {
  readonly html: string;
  /** Allows the page's own style sheet and nothing else. */
  readonly contentSecurityPolicy: string;
}

export function docsPage(document: OpenApiDocument): DocsPage {
  const info = document['info'] as { title: string; version: string; description: string };
  const operations = Object.entries(document.paths).flatMap(([path, verbs]) =>
    Object.entries(verbs).map(([verb, operation]) => ({ path, verb, operation })),
  );
  const tags = document['tags'] as { name: string; description: string }[];
  const sections = tags.map(({ name, description }) => {
    const own = operations.filter(({ operation }) => (operation['tags'] as string[]).includes(name));
    return `<section id="${slug(name)}"><h2>${escape(name)}</h2>${markdown(description)}
${own.map(({ path, verb, operation }) => operationHtml(path, verb, operation, document)).join('\n')}</section>`;
  });
  const received = Object.entries(document.webhooks).map(([name, item]) => webhookHtml(name, item['post'] as Json));
  const schemas = Object.entries(document.components.schemas).map(
    ([name, schema]) =>
      `<details id="schema-${escape(name)}"><summary><code>${escape(name)}</code></summary>${markdown(text(schema['description']))}${schemaHtml(schema)}</details>`,
  );
  const html = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escape(info.title)}: API</title>
<style>${STYLE}</style>
</head>
<body>
<header><h1>${escape(info.title)} <small>${escape(info.version)}</small></h1>
${markdown(info.description)}
<p><a href="/openapi.json">openapi.json</a></p>
<nav aria-label="Sections">${[...tags.map(({ name }) => name), 'What receivers get', 'Schemas'].map((name) => `<a href="#${slug(name)}">${escape(name)}</a>`).join(' ')}</nav>
</header>
<main>
${sections.join('\n')}
<section id="${slug('What receivers get')}"><h2>What receivers get</h2>${received.join('\n')}</section>
<section id="${slug('Schemas')}"><h2>Schemas</h2>${schemas.join('\n')}</section>
</main>
</body>
</html>
`;
  const hash = createHash('sha256').update(STYLE).digest('base64');
  return {
    html,
    contentSecurityPolicy: `default-src 'none'; style-src 'sha256-${hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
  };
}

function operationHtml(path: string, verb: string, operation: Json, document: OpenApiDocument): string {
  const parameters = ((operation['parameters'] as Json[] | undefined) ?? []).map((parameter) => resolve(parameter, document));
  const body = jsonContent(operation['requestBody'] as Json | undefined);
  const responses = Object.entries(operation['responses'] as Record<string, Json>);
  return `<details id="${text(operation['operationId'])}"><summary><b class="${verb}">${verb.toUpperCase()}</b> <code>${escape(path)}</code> <span>${markdownLine(text(operation['summary']))}</span></summary>
${markdown(text(operation['description']))}
${parameters.length === 0 ? '' : `<h4>Parameters</h4><table><tbody>${parameters.map(parameterRow).join('')}</tbody></table>`}
${body === undefined ? '' : `<h4>Body</h4>${contentHtml(body)}`}
<h4>Answers</h4><dl>${responses.map(([status, response]) => responseHtml(status, resolve(response, document))).join('')}</dl>
</details>`;
}

function parameterRow(parameter: Json): string {
  const required = parameter['required'] === true ? ' <em>required</em>' : '';
  return `<tr><th scope="row"><code>${escape(text(parameter['name']))}</code>${required}</th><td>${escape(text(parameter['in']))}</td><td>${typeHtml(parameter['schema'] as Json)}</td><td>${markdownLine(text(parameter['description']))}</td></tr>`;
}

function responseHtml(status: string, response: Json): string {
  const content = jsonContent(response);
  return `<dt>${escape(status)}</dt><dd>${markdownLine(text(response['description']))}${content === undefined ? '' : contentHtml(content)}</dd>`;
}

function webhookHtml(name: string, operation: Json): string {
  const content = jsonContent(operation['requestBody'] as Json) ?? {};
  return `<details><summary><b class="post">POST</b> <code>${escape(name)}</code> <span>${markdownLine(text(operation['summary']))}</span></summary>
${markdown(text(operation['description']))}<table><tbody>${(operation['parameters'] as Json[]).map(parameterRow).join('')}</tbody></table>${contentHtml(content)}</details>`;
}

function contentHtml(content: Json): string {
  const { schema, example } = content as { schema?: Json; example?: unknown };
  const shown = example === undefined ? '' : `<pre tabindex="0">${escape(JSON.stringify(example, null, 2))}</pre>`;
  return `${schema === undefined ? '' : `<p>${typeHtml(schema)}</p>${schema['$ref'] === undefined ? schemaHtml(schema) : ''}`}${shown}`;
}

function schemaHtml(schema: Json): string {
  const properties = Object.entries((schema['properties'] as Record<string, Json> | undefined) ?? {});
  const required = new Set((schema['required'] as string[] | undefined) ?? []);
  if (properties.length === 0) return '';
  const rows = properties.map(
    ([name, property]) =>
      `<tr><th scope="row"><code>${escape(name)}</code>${required.has(name) ? ' <em>always</em>' : ''}</th><td>${typeHtml(property)}</td><td>${markdown(text(property['description']))}${schemaHtml(property)}</td></tr>`,
  );
  return `<table><tbody>${rows.join('')}</tbody></table>`;
}

function typeHtml(schema: Json): string {
  const reference = schema['$ref'];
  if (typeof reference === 'string') {
    const name = escape(reference.slice(reference.lastIndexOf('/') + 1));
    return `<a href="#schema-${name}">${name}</a>`;
  }
  if (schema['type'] === 'array') return `array of ${typeHtml((schema['items'] as Json | undefined) ?? {})}`;
  if (schema['const'] !== undefined) return `<code>${escape(JSON.stringify(schema['const']))}</code>`;
  const limits = ['format', 'minLength', 'maxLength', 'minimum', 'maximum', 'pattern']
    .filter((name) => schema[name] !== undefined)
    .map((name) => `${name} <code>${escape(String(schema[name] as string | number))}</code>`);
  return [escape(text(schema['type'], 'any')), ...limits].join(', ');
}

function jsonContent(holder: Json | undefined): Json | undefined {
  return (holder?.['content'] as Record<string, Json> | undefined)?.['application/json'];
}

function resolve(value: Json, document: OpenApiDocument): Json {
  const reference = value['$ref'];
  if (typeof reference !== 'string') return value;
  return reference
    .slice(2)
    .split('/')
    .reduce<Json>((at, step) => at[step] as Json, document);
}

// As much Markdown as comments in the contract use: paragraphs, lists and code.
function markdown(source: string): string {
  return source
    .split('\n\n')
    .filter((block) => block.trim() !== '')
    .map((block) =>
      block.startsWith('- ')
        ? `<ul>${block
            .split('\n')
            .map((line) => `<li>${markdownLine(line.replace(/^- /, ''))}</li>`)
            .join('')}</ul>`
        : `<p>${markdownLine(block)}</p>`,
    )
    .join('');
}

function markdownLine(line: string): string {
  return escape(line).replaceAll(/`([^`]+)`/g, '<code>$1</code>');
}

function text(value: unknown, otherwise = ''): string {
  return typeof value === 'string' ? value : otherwise;
}

function slug(name: string): string {
  return name.toLowerCase().replaceAll(' ', '-');
}

function escape(raw: string): string {
  return raw.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}

const STYLE = `
:root{color-scheme:light dark;--ink:#1d2226;--paper:#fff;--line:#d5dade;--soft:#f3f5f6;--link:#0b5cad}
@media (prefers-color-scheme:dark){:root{--ink:#e6e9eb;--paper:#15191c;--line:#3a4248;--soft:#1f2529;--link:#7db8f5}}
body{font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:62rem;margin:0 auto;padding:1.5rem}
h1 small{font-weight:400;font-size:1rem}a{color:var(--link)}nav a{margin-right:1rem}
details{border:1px solid var(--line);border-radius:.4rem;margin:.5rem 0;padding:.5rem .8rem}summary{cursor:pointer}
summary b{display:inline-block;min-width:4rem}summary span{margin-left:.5rem}
code,pre{font:.875rem/1.45 ui-monospace,monospace;overflow-wrap:anywhere}pre{background:var(--soft);padding:.7rem;border-radius:.3rem;overflow:auto}
table{border-collapse:collapse;width:100%}th,td{border-top:1px solid var(--line);padding:.35rem .6rem;text-align:left;vertical-align:top}
th{font-weight:400}dt{font-weight:600}td p{margin:0}em{font-size:.8rem}
`;
