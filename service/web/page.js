// The first page: signs in by the link's fragment, shows the newest book's passages, and has them illustrated.

const POLL_MS = 1000;
const content = /** @type {HTMLElement} */ (document.getElementById("content"));

/** Fetches JSON; a problem becomes an Error with its status and body. */
async function request(method, path, body) {
  const response = await fetch(path, {
    method,
    headers: body ? { "Content-Type": "application/json" } : {},
    body: body && JSON.stringify(body),
  });
  const data = response.status === 204 ? null : await response.json();
  if (!response.ok) throw Object.assign(new Error(data.detail), { status: response.status, data });
  return data;
}

function element(tag, text = "", attributes = {}) {
  const made = Object.assign(document.createElement(tag), attributes);
  made.textContent = text;
  return made;
}

function showPassage(description) {
  const section = element("section");
  const status = element("p", "", { role: "status" });
  const button = element("button", "Illustrate", { type: "button" });
  section.append(element("blockquote", description.content), status);

  const showImage = (image) => {
    button.remove();
    status.textContent = "";
    section.append(element("img", "", { src: image.image_url, alt: description.content }));
  };
  const follow = async (task) => {
    while (task.status === "pending" || task.status === "generating") {
      status.textContent = `${task.stage}…`;
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
      task = await request("GET", `/images/task/${task.task_id}`);
    }
    if (task.status === "failed") throw new Error(task.error);
    showImage(task.result);
  };
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      await follow(await request("POST", `/images/generate/async/${description.id}`, {}));
    } catch (error) {
      if (error.status === 409) showImage(error.data.image);
      else status.textContent = error.message;
      button.disabled = false;
    }
  });
  if (description.image) showImage(description.image);
  else section.append(button);
  return section;
}

async function start() {
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  if (token) {
    history.replaceState(null, "", location.pathname);
    await request("POST", "/session", { token });
  }
  const books = await request("GET", "/books?limit=1");
  if (!books.items.length) return content.replaceChildren(element("p", "There is no book yet."));
  const book = await request("GET", `/books/${books.items[0].id}`);
  content.lang = book.language ?? "";
  content.replaceChildren(element("h2", book.title));
  for (const { id } of book.chapters) {
    const chapter = await request("GET", `/chapters/${id}`);
    content.append(element("h3", chapter.title ?? `${chapter.number}`), ...chapter.descriptions.map(showPassage));
  }
}

start().catch((error) => {
  if (error.status !== 401) content.replaceChildren(element("p", error.message));
});
