# Ordinary Docker commands, as a person or a script of theirs types them. `docker` is the engine, $IMAGE a busybox.
docker version --format '{{.Client.Version}}' | grep -c '[0-9]'
docker images --format '{{.Repository}}:{{.Tag}}' | grep -c "$IMAGE"
docker run --rm $IMAGE echo hello
echo from stdin | docker run -i --rm $IMAGE cat
docker run --rm -e GREETING=hi -w /tmp $IMAGE sh -c 'echo $GREETING; pwd'
docker run --rm $IMAGE sh -c 'exit 3'; echo "exit $?"
docker run --rm $IMAGE nosuch 2>/dev/null; echo "exit $?"
docker create --name web --label tier=front --hostname web --stop-timeout 0 $IMAGE sh -c 'echo serving; exec sleep 1000' | wc -c
docker ps -a --filter name=web --format '{{.Names}}'
docker start web
docker ps --format '{{.Names}}'
docker ps -q | wc -l
docker ps -q --no-trunc | tr -d '\n' | wc -c
docker inspect --format '{{.Name}} {{.State.Status}} {{.Config.Hostname}}' web | tr -d /
docker inspect -f '{{index .Config.Labels "tier"}} {{json .Config.Cmd}}' web
docker exec web hostname
docker exec -u nobody -w /tmp -e A=1 web sh -c 'id -un; pwd; echo $A'
echo typed | docker exec -i web cat
docker exec web sh -c 'exit 4'; echo "exit $?"
docker exec -d web touch /touched >/dev/null && docker exec web sh -c 'while ! test -e /touched; do :; done; echo touched'
docker logs web
docker logs --tail 1 web 2>&1 | grep -c serving
echo content > file && docker cp file web:/copied && docker exec web cat /copied
docker cp web:/copied back && cat back
mkdir -p tree/deep && echo leaf > tree/deep/leaf && docker cp tree web:/tmp && docker exec web cat /tmp/tree/deep/leaf
docker cp tree/. web:/other && docker exec web ls /other
docker cp web:/tmp/tree - | tar tf - | sed 's|/$||' | sort
docker cp web:/nosuch . 2>/dev/null || echo missing
docker diff web | grep -E ' /(copied|other|touched)$' | sort
docker pause web >/dev/null && docker ps -a --filter status=paused --format '{{.Names}}'
docker exec web true 2>/dev/null || echo paused
docker unpause web >/dev/null && docker inspect -f '{{.State.Paused}} {{.State.Running}}' web
docker top web | tail -n +2 | grep -c sleep
docker rename web site && docker ps --format '{{.Names}}' --filter label=tier=front
docker update --memory 64m --memory-swap 128m site >/dev/null && echo updated
docker stats --no-stream --format '{{.Name}}' site
docker kill --signal USR1 site >/dev/null; docker stop -t 0 site
docker wait site
docker ps -a --filter status=exited --format '{{.Names}}'
docker start site && docker restart -t 0 site
docker rm site 2>/dev/null || echo refused
docker rm -f site
docker volume create data
docker run --rm -v data:/data $IMAGE sh -c 'echo kept > /data/file'
docker run --rm -v data:/data:ro $IMAGE cat /data/file
docker run --rm --mount type=volume,source=data,target=/d $IMAGE cat /d/file
docker volume ls -q
docker volume inspect -f '{{.Name}} {{.Driver}}' data
docker volume rm data
docker run --name job $IMAGE sh -c 'echo done > /result'; docker commit job result >/dev/null 2>&1; docker rm job
docker run --rm result cat /result
docker tag result result:v2 && docker images --format '{{.Tag}}' --filter reference='*result*' | sort
docker save result:v2 -o result.tar && docker rmi -f result result:v2 >/dev/null && docker load -q -i result.tar | grep -c v2
printf 'FROM %s\nRUN echo built > /built\nENV WHO=me\nCMD cat /built; echo $WHO\n' $IMAGE > Dockerfile
docker build -q -t mine . >/dev/null 2>&1 && docker run --rm mine
docker history --format '{{.CreatedBy}}' mine | grep -c built
docker run -d --name one --stop-timeout 0 $IMAGE sleep 1000 >/dev/null; docker run -d --name two $IMAGE true >/dev/null; docker wait two
docker container ls --format '{{.Names}}'; docker container prune -f >/dev/null; docker ps -a --format '{{.Names}}'
docker rm -f $(docker ps -aq) >/dev/null; docker ps -aq | wc -l
docker rmi -f mine result:v2 >/dev/null; docker images -q mine | wc -l
