// Starts Scalar's reference on /docs. Sent to the browser as it is, beside Scalar's own files.

// The page's policy takes only styles that carry its nonce. Scalar hands the nonce on to some of its parts, the editor is none of them.
const nonce = document.querySelector('meta[property=csp-nonce]').nonce;
const createElement = document.createElement.bind(document);
document.createElement = (name, options) => {
  const element = createElement(name, options);
  if (name === 'style') element.nonce = nonce;
  return element;
};

const { createApiReference } = await import('./standalone.esm.js');

createApiReference('#reference', {
  url: '/openapi.json',
  theme: 'none',
  withDefaultFonts: false,
  // Nothing of the page may go to anybody but this service.
  telemetry: false,
  proxyUrl: '',
  agent: { disabled: true },
  mcp: { disabled: true },
  hideClientButton: true,
  showDeveloperTools: 'never',
  persistAuth: false,
});
