(()=>{const d=document,f=d.forms.ask,o=d.getElementById("out"),r=d.getElementById("stops");
d.addEventListener("click",e=>{const b=e.target.closest(".copy");if(b)navigator.clipboard.writeText(b.previousElementSibling.textContent).then(()=>{b.textContent="Copied";setTimeout(()=>b.textContent="Copy",2e3)})});
if(!f||!o)return;let n=0,t;const words=v=>(2**v).toLocaleString("en")+" tokens",
show=()=>{const v=parseInt(f.c.value)*(/k$/i.test(f.c.value.trim())?1024:1);if(v){r.value=Math.round(Math.log2(v));r.setAttribute("aria-valuetext",words(r.value))}},
query=()=>new URLSearchParams([...new FormData(f)].filter(p=>p[1].trim())).toString(),
ask=async()=>{const i=++n,q=query();o.ariaBusy="true";try{const h=await(window.tonnage||(q=>fetch(f.dataset.fragment+"?"+q).then(a=>a.text())))(q);
if(i==n){o.innerHTML=h;history.replaceState(null,"",f.action+"?"+q);d.title=(o.querySelector("h1")||d.body).textContent.slice(0,90)}}catch(e){if(i==n)location=f.action+"?"+q}finally{if(i==n)o.ariaBusy="false"}};
r.addEventListener("input",()=>{f.c.value=2**r.value;r.setAttribute("aria-valuetext",words(r.value))});
f.addEventListener("input",e=>{if(e.target.name=="c")show();if(e.target==r||e.target.matches("select,[type=number]")){clearTimeout(t);t=setTimeout(ask,40)}});
f.addEventListener("change",e=>{if(e.target.matches("[type=text]")){if(f.d.value)s.machine=JSON.stringify([f.d.value,f.ram.value]);ask()}});
f.addEventListener("submit",e=>{e.preventDefault();ask()});show();
let s={},m;try{s=localStorage;m=JSON.parse(s.machine)}catch{}if(m&&!/[?&](d|device)=/.test(location.search)&&m[0]!=f.d.value){const b=d.getElementById("mine");b.textContent="My machine: "+m.filter(v=>v).join(", ");b.hidden=!1;b.onclick=()=>{[f.d.value,f.ram.value]=m;b.hidden=!0;ask()}}})();
