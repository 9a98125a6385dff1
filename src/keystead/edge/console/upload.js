// Sends a long body and tells how much of it has gone, which fetch does not.

/** Resolves to the Response; rejects if there is none, or if `signal` stops it. */
export function uploaded(url, { method, headers, body, signal, onProgress }) {
  return new Promise((resolve, reject) => {
    const sending = new XMLHttpRequest();
    sending.open(method, url);
    for (const [name, value] of headers) sending.setRequestHeader(name, value);
    sending.responseType = "blob";
    sending.upload.onprogress = ({ loaded, total }) => onProgress(loaded, total);
    sending.onload = () => {
      const { status, response } = sending;
      const retryAfter = sending.getResponseHeader("Retry-After");
      resolve(new Response(status === 204 ? null : response,
        { status, headers: retryAfter ? { "Retry-After": retryAfter } : {} }));
    };
    sending.onerror = sending.onabort = () => reject(new Error("There is no answer."));
    signal.addEventListener("abort", () => sending.abort());
    sending.send(body);
  });
}
