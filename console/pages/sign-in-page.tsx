// Signing in: a pasted token, or in development a click.
import { useEffect, useId, useState } from 'preact/hooks';
import { type ConsoleRole, readToken, signedOutBecause, signIn } from '../api/session.ts';
import { Mark } from '../components/shell.tsx';
import { isDevelopment } from '../environment.ts';

export function SignInPage() {
  const [token, setToken] = useState('');
  const [problem, setProblem] = useState('');
  const id = useId();
  useEffect(() => {
    document.title = 'Sign in · HomeChef Webhooks';
  }, []);
  const submit = (event: Event) => {
    event.preventDefault();
    const found = readToken(token.trim());
    if (found === null)
      return setProblem('This is not a HomeChef token: it should be three parts of letters and digits with two dots between.');
    if (found.expiresAtMs <= Date.now()) return setProblem('This token has expired. Ask for a new one.');
    signIn(token);
  };
  return (
    <main class="sign-in">
      <div class="receipt-shadow">
        <div class="ticket">
          <p class="brand">
            <Mark />
            <span>
              HomeChef <b>Webhooks</b>
            </span>
          </p>
          <h1>Sign in</h1>
          <p class="lead">See every event on its way to your receivers, and steer it.</p>
          {signedOutBecause.value === 'expired' && (
            <p class="notice" role="status">
              Your session has ended. Sign in again to go on where you were.
            </p>
          )}
          <form onSubmit={submit}>
            <label for={id}>Access token</label>
            <textarea
              id={id}
              class="mono"
              rows={4}
              value={token}
              spellcheck={false}
              autocomplete="off"
              aria-describedby={`${id}-error`}
              aria-invalid={problem !== ''}
              placeholder="eyJhbGciOi…"
              onInput={(event) => {
                setToken(event.currentTarget.value);
                setProblem('');
              }}
            />
            <p id={`${id}-error`} class="field-error" role="alert">
              {problem}
            </p>
            <button class="button primary wide" type="submit" disabled={token.trim() === ''}>
              Sign in
            </button>
            <p class="hint">The token stays in this tab and is forgotten when you close it.</p>
          </form>
          {isDevelopment && <DevelopmentSignIn />}
        </div>
      </div>
    </main>
  );
}

/** Exists only where the service mints tokens for every user: in development. */
function DevelopmentSignIn() {
  const [problem, setProblem] = useState('');
  const enter = async (role: ConsoleRole) => {
    try {
      const answer = await fetch(`/console/dev-token?role=${role}`);
      const body: unknown = await answer.json();
      const token = typeof body === 'object' && body !== null && 'token' in body ? String(body.token) : '';
      if (!answer.ok || signIn(token) === null) setProblem('The service did not hand out a token.');
    } catch {
      setProblem('The service cannot be reached.');
    }
  };
  return (
    <section class="sign-in-development">
      <h2>Development</h2>
      <p class="hint">This service runs in development, so it signs anybody in.</p>
      <div class="button-row">
        <button type="button" class="button" onClick={() => void enter('developer')}>
          As a developer
        </button>
        <button type="button" class="button" onClick={() => void enter('admin')}>
          As an operator
        </button>
      </div>
      <p class="field-error" role="alert">
        {problem}
      </p>
    </section>
  );
}
